"""What clients ask for that is not done here: answered as for a project that does not use it."""

from aiohttp import hdrs, web

from flagstream.openapi import Access, Answer, described
from flagstream.wire import TOKEN_NAMES

from .auth import project_of_token
from .responses import Handler, bytes_response, client_route

# What posthog-js asks for only where its remote config says so, or on demand.
_NONE_OF = {
    "/api/surveys": b'{"surveys":[]}',
    "/api/early_access_features": b'{"earlyAccessFeatures":[]}',
    "/api/web_experiments": b'{"experiments":[]}',
    "/api/product_tours": b'{"product_tours":[]}',
}
# Session recordings, as events are sent; telemetry of the client itself, as OpenTelemetry's is.
_SWALLOWED = {
    "/s": b'{"status":1}',
    "/i/v1/logs": b"{}",
    "/i/v1/metrics": b"{}",
    "/i/v1/traces": b"{}",
}


def _none_of(answer: bytes) -> Handler:
    @described(Answer(dict[str, list[None]]), access=Access.PUBLIC_TOKEN)
    async def none_of(request: web.Request) -> web.Response:
        """Answer that the project has none."""
        named = (request.query.get(name) for name in TOKEN_NAMES)
        project_of_token(request, next(filter(None, named), None))
        return bytes_response(answer, request=request)

    return none_of


def _swallow(answer: bytes) -> Handler:
    @described(Answer(dict[str, int]), access=Access.NOTHING)
    async def swallow(request: web.Request) -> web.Response:
        """Accept it without keeping it: there is nothing that would show it."""
        return bytes_response(answer, request=request)

    return swallow


routes = (
    *(
        definition
        for path, answer in _NONE_OF.items()
        for definition in client_route([hdrs.METH_GET], path, _none_of(answer))
    ),
    *(
        definition
        for path, answer in _SWALLOWED.items()
        for definition in client_route([hdrs.METH_POST, hdrs.METH_GET], path, _swallow(answer))
    ),
)
