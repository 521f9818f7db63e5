"""The document by which server SDKs evaluate flags themselves."""

from aiohttp import hdrs, web

from . import keys
from .auth import project_of_key
from .responses import bytes_response, client_route


async def definitions(request: web.Request) -> web.Response:
    """Answer all definitions of a project, or 304 where the client has them."""
    project = project_of_key(request)
    snapshot = request.app[keys.CATALOG].project(project.id)
    if _bare(snapshot.etag) in map(_bare, request.headers.get(hdrs.IF_NONE_MATCH, "").split(",")):
        response = web.Response(status=304)
    else:
        response = bytes_response(snapshot.local_definitions, request=request)
    response.headers[hdrs.ETAG] = f'W/"{_bare(snapshot.etag)}"'
    response.headers[hdrs.CACHE_CONTROL] = "private, must-revalidate"
    return response


def _bare(etag: str) -> str:
    """Strip what proxies and SDKs change about a tag."""
    return etag.strip().removeprefix("W/").strip('"')


routes = (
    *client_route(["GET"], "/flags/definitions", definitions),
    *client_route(["GET"], "/api/feature_flag/local_evaluation", definitions),
)
