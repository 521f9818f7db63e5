"""The one middleware that turns errors into responses of one shape."""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

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
    try:
        if not request.app[keys.IS_READY]() and request.path not in _ALWAYS:
            raise UnavailableError("The server is still starting.", retry_after_s=1)
        response = await handler(request)
    except RequestError as error:
        response = error_response(request, error)
    except web.HTTPException as error:
        response = error_response(request, _from_aiohttp(request, error))
    except web.RequestPayloadError:
        response = error_response(request, InvalidRequestError("The body could not be read."))
    except LogUnavailableError:
        _log.warning("The log takes no writes", extra={"path": request.path})
        error = UnavailableError("The log takes no writes at the moment.", retry_after_s=1)
        response = error_response(request, error)
    except Exception:
        _log.exception("Unexpected error", extra={"path": request.path})
        response = error_response(request, _InternalError("Something went wrong here."))
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
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _from_aiohttp(request: web.Request, error: web.HTTPException) -> RequestError:
    match error:
        case web.HTTPNotFound():
            return NotFoundError(f"There is nothing at {request.path}.")
        case web.HTTPMethodNotAllowed():
            return MethodNotAllowedError(f'Method "{request.method}" not allowed.')
        case web.HTTPRequestEntityTooLarge():
            return BodyTooLargeError("The body is larger than allowed.")
        case _ if error.status < 500:  # noqa: PLR2004 -- where HTTP draws the line
            return InvalidRequestError(error.reason)
        case _:
            raise error
