"""The document by which server SDKs evaluate flags themselves."""

import re

from aiohttp import hdrs, web

from flagstream.errors import QuotaExceededError
from flagstream.flags import Sdk
from flagstream.openapi import Answer, described
from flagstream.state.access import Scope

from . import keys
from .auth import project_of_key
from .responses import bytes_response, is_known, route
from .shapes.common import TOKEN
from .shapes.flags import LocalDefinitions

_AGENT = re.compile(r"(posthog-(?:python|node))/(\d{1,4})\.(\d{1,4})", re.IGNORECASE)
# The oldest versions that agreed with the server when they were asked what their successors are.
_SINCE = {Sdk.PYTHON: (7, 78), Sdk.NODE: (5, 53)}
_VARY = f"{hdrs.AUTHORIZATION}, {hdrs.USER_AGENT}"


@described(
    Answer(LocalDefinitions, headers={"ETag": "For `If-None-Match`."}),
    Answer(None, status=304),
    parameters=[TOKEN],
    refusals=[QuotaExceededError],
    access=Scope.FLAGS_READ,
)
async def definitions(request: web.Request) -> web.Response:
    """Answer all definitions of a project, or 304 where the client has them."""
    project = project_of_key(request)
    snapshot = request.app[keys.CATALOG].project(project.id)
    rate = snapshot.settings.max_definition_requests_per_s
    request.app[keys.RATES].definitions.take(project.id, rate)
    if snapshot.settings.is_quota_limited:
        raise QuotaExceededError("The project has used up its quota of flag evaluations.")
    sdk = _sdk(request.headers.get(hdrs.USER_AGENT, ""))
    etag = snapshot.etags[sdk]
    if is_known(request, etag):
        response = web.Response(status=304)
    else:
        response = bytes_response(snapshot.local_definitions.documents[sdk])
    response.headers[hdrs.ETAG] = f'W/"{etag}"'
    response.headers[hdrs.CACHE_CONTROL] = "private, must-revalidate"
    response.headers.add(hdrs.VARY, _VARY)
    return response


def _sdk(agent: str) -> Sdk:
    """Tell which evaluator reads the document."""
    named = _AGENT.match(agent)
    if named is None:
        return Sdk.OTHER
    sdk, version = Sdk(named[1].lower()), (int(named[2]), int(named[3]))
    return sdk if version >= _SINCE[sdk] else Sdk.OTHER


routes = (
    *route("GET", "/flags/definitions", definitions),
    *route("GET", "/api/feature_flag/local_evaluation", definitions),
)
