"""JSON responses, cross-origin headers, and paths with and without a trailing slash."""

from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import Any

import orjson
from aiohttp import hdrs, web
from multidict import CIMultiDict

SCRIPT = "application/javascript"
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
_ALWAYS = {
    # Instead of aiohttp's, which says its version and Python's.
    hdrs.SERVER: "flagstream",
    **NO_SNIFFING,
}
_PRIVATE = {
    hdrs.CACHE_CONTROL: "no-store",
    hdrs.REFERRER_POLICY: "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def route(method: str, path: str, handler: Handler) -> tuple[web.RouteDef, web.RouteDef]:
    """Serve *path* with and without a trailing slash; first with it, as clients ask."""
    path = path.rstrip("/")
    return web.RouteDef(method, f"{path}/", handler, {}), web.RouteDef(method, path, handler, {})


def client_route(methods: Iterable[str], path: str, handler: Handler) -> tuple[web.RouteDef, ...]:
    """Serve *path* to browsers: each method, and the preflight that asks for it."""
    served = [definition for method in methods for definition in route(method, path, handler)]
    return (*served, *route(hdrs.METH_OPTIONS, path, preflight))


def json_response(
    data: Any, *, request: web.BaseRequest | None = None, status: int = 200
) -> web.Response:
    """
    Encode *data*.

    Args:
        request: Given where browsers of other origins may read the answer.
    """
    return bytes_response(orjson.dumps(data), request=request, status=status)


def bytes_response(
    body: bytes, *, request: web.BaseRequest | None = None, status: int = 200
) -> web.Response:
    """Answer with JSON that is already encoded."""
    origin = None if request is None else request.headers.get(hdrs.ORIGIN)
    return web.Response(body=body, status=status, headers=json_headers(origin))


@lru_cache(maxsize=256)
def json_headers(origin: str | None) -> CIMultiDict[str]:
    """Read the headers of a JSON answer to a page of *origin*; they are copied by the response."""
    headers = CIMultiDict(_ALWAYS)
    headers[hdrs.CONTENT_TYPE] = "application/json"
    if origin is not None:
        headers.update(_cross_origin(origin))
    return headers


def script_headers(request: web.BaseRequest) -> CIMultiDict[str]:
    """Read the headers of a script."""
    headers = json_headers(request.headers.get(hdrs.ORIGIN)).copy()
    headers[hdrs.CONTENT_TYPE] = SCRIPT
    return headers


def complete_headers(response: web.StreamResponse, *, is_private: bool) -> None:
    """
    Add the headers that every answer has.

    Args:
        is_private: It is for who has the secret key, and for no cache.
    """
    headers = response.headers
    if hdrs.SERVER not in headers:
        headers.update(_ALWAYS)
    if is_private:
        for name, value in _PRIVATE.items():
            headers.setdefault(name, value)


def is_known(request: web.BaseRequest, etag: str) -> bool:
    """Tell whether a client has what *etag* is of, whatever proxies and SDKs changed about it."""
    known = request.headers.get(hdrs.IF_NONE_MATCH, "").split(",")
    return any(etag == each.strip().removeprefix("W/").strip('"') for each in known)


def _cross_origin(origin: str) -> dict[str, str]:
    # No browser sends another one, and it could not be written.
    if not origin.isascii():
        return {}
    return {
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
        hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS: "true",
        hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: hdrs.RETRY_AFTER,
        hdrs.VARY: hdrs.ORIGIN,
    }


def _served(request: web.Request) -> set[str]:
    """Name the methods that a path is served for."""
    resource = request.match_info.route.resource
    return {route.method for route in resource or ()} - {hdrs.METH_ANY}


async def preflight(request: web.Request) -> web.Response:
    """Let a browser's page of any origin make the request it asks for."""
    allowed = ", ".join(sorted(_served(request)))
    response = web.Response(status=204, headers={hdrs.ALLOW: allowed})
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None:
        response.headers.update(_cross_origin(origin))
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = allowed
        response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = "600"
        asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS)
        if asked is not None and asked.isascii():
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = asked
    return response
