"""The one middleware that turns errors into responses of one shape."""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from flagstream.errors import (
    BodyTooLargeError,
    InvalidRequestError,
    LogUnavailableError,
    MethodNotAllowedError,
    NotFoundError,
    RequestError,
    UnavailableError,
)
from flagstream.telemetry import count_response

from . import keys
from .responses import json_response

_log = logging.getLogger(__name__)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_ALWAYS = {"/_liveness", "/_liveness/", "/_readiness", "/_readiness/", "/metrics", "/metrics/"}


class _InternalError(RequestError):
    """A defect of ours; the log has its cause."""

    status = 500
    type = "server_error"
    code = "internal_error"


@web.middleware
async def answer_errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Answer every error as ``{"type","code","detail","attr"}``, and 503 until ready."""
    response: web.StreamResponse
    if not request.app[keys.IS_READY]() and request.path not in _ALWAYS:
        response = error_response(request, UnavailableError("Starting.", retry_after_s=1))
    else:
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001 -- nobody above answers a client
            response = error_response(request, _request_error(request, error))
            if isinstance(error, web.HTTPMethodNotAllowed):
                response.headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
    count_response(response.status)
    return response


def error_response(request: web.Request, error: RequestError) -> web.Response:
    """Encode an error."""
    response = json_response(
        {"type": error.type, "code": error.code, "detail": error.detail, "attr": error.attr},
        request=request,
        status=error.status,
    )
    if error.retry_after_s is not None:
        response.headers[hdrs.RETRY_AFTER] = str(error.retry_after_s)
    return response


def _request_error(request: web.Request, error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    if isinstance(error, web.HTTPClientError):
        return _of_aiohttp(request, error)
    if isinstance(error, web.RequestPayloadError):
        return InvalidRequestError("body: expected a whole request, got a torn one")
    if isinstance(error, LogUnavailableError):
        _log.warning("The log takes no writes", exc_info=error)
        return UnavailableError("The log takes no writes at the moment.", retry_after_s=1)
    _log.error("Unexpected error", exc_info=error, extra={"path": request.path})
    return _InternalError("Something went wrong here.")


def _of_aiohttp(request: web.Request, error: web.HTTPClientError) -> RequestError:
    match error:
        case web.HTTPNotFound():
            return NotFoundError(f"There is nothing at {request.path}.")
        case web.HTTPMethodNotAllowed():
            return MethodNotAllowedError(f'Method "{request.method}" not allowed.')
        case web.HTTPRequestEntityTooLarge():
            return BodyTooLargeError("The body is larger than allowed.")
        case _:
            return InvalidRequestError(error.reason)
