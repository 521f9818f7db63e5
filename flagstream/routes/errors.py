"""The one place that turns errors into responses, all of one shape."""

import logging
from collections.abc import Callable, Iterable
from typing import NoReturn

import orjson
from aiohttp import hdrs, web

from flagstream.errors import (
    BodyTooLargeError,
    InvalidRequestError,
    LogUnavailableError,
    MethodNotAllowedError,
    NotFoundError,
    RequestError,
    SlowRequestError,
    UnavailableError,
)
from flagstream.telemetry import REFUSALS, RESPONSES

from .responses import Handler, bytes_response, complete_headers

_SERVER = hdrs.SERVER
_log = logging.getLogger(__name__)


class TornRequestError(InvalidRequestError):
    """The body is not as HTTP has it; nobody knows where the next request begins."""


class InternalError(RequestError):
    """A defect of ours; the log has its cause."""

    status = 500
    type = "server_error"
    code = "internal_error"


def guarded(
    handler: Handler,
    is_ready: Callable[[], bool],
    *,
    is_for_pages: bool = True,
    is_private: bool = False,
) -> Handler:
    """
    Answer what *handler* raises as ``{"type","code","detail","attr"}``, and 503 until ready.

    Around each handler instead of an aiohttp middleware, which costs a tenth of a flag request.

    Args:
        is_for_pages: Pages of other origins may read its refusals.
        is_private: It answers who has the secret key.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            if not is_ready():
                raise UnavailableError("The server is still starting.", retry_after_s=1)  # noqa: TRY301 -- answered like any other refusal
            response = await handler(request)
        except Exception as error:  # noqa: BLE001 -- nobody above answers a client
            # Bound to no name: with its frames, and a body in one of them, it would be a cycle.
            response = error_response(
                _request_error(request, error), request if is_for_pages else None
            )
        if is_private or _SERVER not in response.headers:
            complete_headers(response, is_private=is_private)
        RESPONSES.count(response.status)
        return response

    return answer


async def expected(request: web.Request) -> None:
    """Let a client send its body that waits for that; what else it expects is passed over."""
    if request.headers[hdrs.EXPECT].lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def not_found(request: web.Request) -> NoReturn:
    """Refuse a path that nothing is at."""
    raise NotFoundError(f"There is nothing at {request.path}.")


def not_allowed(methods: Iterable[str], *, is_for_pages: bool) -> Handler:
    """Refuse every method but those that a path is served for."""
    allowed = ", ".join(sorted(methods))

    async def refuse(request: web.Request) -> web.Response:
        error = MethodNotAllowedError(f'Method "{request.method}" not allowed.')
        response = error_response(error, request if is_for_pages else None)
        response.headers[hdrs.ALLOW] = allowed
        return response

    return refuse


def error_response(error: RequestError, request: web.BaseRequest | None = None) -> web.Response:
    """
    Encode an error, and count it.

    Args:
        request: Given where pages of other origins may read it.
    """
    response = bytes_response(encoded_error(error), request=request, status=error.status)
    return refusing(response, error)


def refusing(response: web.Response, error: RequestError) -> web.Response:
    """Count a refusal, however it is encoded, and let the client know when it may ask again."""
    REFUSALS.count(error.code)
    if isinstance(error, SlowRequestError | TornRequestError):
        response.force_close()
    if error.retry_after_s is not None:
        response.headers[hdrs.RETRY_AFTER] = str(error.retry_after_s)
    return response


def _route(request: web.Request) -> str:
    """Name what was asked for without what was asked: paths hold tokens and ids."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical


def encoded_error(error: RequestError) -> bytes:
    """Write what every refusal says."""
    members = {"type": error.type, "code": error.code, "detail": error.detail, "attr": error.attr}
    return orjson.dumps(members)


def _request_error(request: web.Request, error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return BodyTooLargeError("The body is larger than allowed.")
    if isinstance(error, web.RequestPayloadError):
        return TornRequestError("body: expected a whole request, got a torn one")
    if isinstance(error, ConnectionResetError) and request.transport is None:
        return TornRequestError("body: expected a whole request, but the client has gone")
    if isinstance(error, LogUnavailableError):
        _log.warning("The log takes no writes", extra={"detail": str(error)})
        return UnavailableError("The log takes no writes at the moment.", retry_after_s=1)
    _log.error("Unexpected error", exc_info=error, extra={"route": _route(request)})
    return InternalError("Something went wrong here.")
