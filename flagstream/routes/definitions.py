"""The document by which server SDKs evaluate flags themselves."""

from aiohttp import hdrs, web

from flagstream.errors import QuotaExceededError
from flagstream.flags import Sdk

from . import keys
from .auth import project_of_key
from .responses import bytes_response, client_route

_VARY = f"{hdrs.AUTHORIZATION}, {hdrs.USER_AGENT}"


async def definitions(request: web.Request) -> web.Response:
    """Answer all definitions of a project, or 304 where the client has them."""
    project = project_of_key(request)
    snapshot = request.app[keys.CATALOG].project(project.id)
    if snapshot.settings.is_quota_limited:
        raise QuotaExceededError("The project has used up its quota of flag evaluations.")
    sdk = _sdk(request.headers.get(hdrs.USER_AGENT, ""))
    etag = snapshot.etags[sdk]
    if etag in map(_bare, request.headers.get(hdrs.IF_NONE_MATCH, "").split(",")):
        response = web.Response(status=304)
    else:
        response = bytes_response(snapshot.local_definitions.documents[sdk], request=request)
    response.headers[hdrs.ETAG] = f'W/"{etag}"'
    response.headers[hdrs.CACHE_CONTROL] = "private, must-revalidate"
    response.headers.add(hdrs.VARY, _VARY)
    return response


def _sdk(agent: str) -> Sdk:
    """Tell which evaluator reads the document."""
    name = agent.partition("/")[0].lower()
    return next((sdk for sdk in (Sdk.PYTHON, Sdk.NODE) if name == sdk), Sdk.OTHER)


def _bare(etag: str) -> str:
    """Strip what proxies and SDKs change about a tag."""
    return etag.strip().removeprefix("W/").strip('"')


routes = (
    *client_route(["GET"], "/flags/definitions", definitions),
    *client_route(["GET"], "/api/feature_flag/local_evaluation", definitions),
)
