"""Requests that are not HTTP: refused in the shape of every other error."""

import asyncio
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from flagstream.errors import InvalidRequestError, RequestError

from .errors import InternalError, error_response


class Protocol(RequestHandler):
    """aiohttp's own, which answers a malformed request line or header as plain text."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 -- quotes what was sent, over several lines
    ) -> web.StreamResponse:
        """Answer, and close the connection: nobody knows where the next request begins."""
        error: RequestError = InvalidRequestError("request: expected HTTP/1.1")
        if status >= 500:  # noqa: PLR2004 -- where HTTP draws the line
            self.log_exception("Unexpected error", exc_info=exc)
            error = InternalError("Something went wrong here.")
        response = error_response(request, error)
        response.force_close()
        return response


async def listen(
    runner: web.AppRunner, host: str, port: int, *, is_shared: bool = False
) -> asyncio.Server:
    """
    Begin to serve the application of *runner*, whose set-up is done.

    Args:
        is_shared: Other processes of this user listen on the port as well.

    Raises:
        OSError: The address is in use, or not this machine's.
    """
    assert runner.server is not None, "the runner is set up first"  # noqa: S101 -- for the reader
    loop = asyncio.get_running_loop()
    no_log: Any = None
    # Bodies arrive as sent, as the application wants them.
    protocol = partial(Protocol, runner.server, loop=loop, access_log=no_log, auto_decompress=False)
    return await loop.create_server(protocol, host, port, backlog=1024, reuse_port=is_shared)
