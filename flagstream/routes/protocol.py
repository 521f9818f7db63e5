"""HTTP as it comes in: what is none, too slow or too much is refused like everything else."""

import asyncio
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple, cast

from aiohttp import EMPTY_PAYLOAD, HttpVersion10, HttpVersion11, StreamReader, hdrs, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from flagstream.errors import (
    InvalidRequestError,
    RequestError,
    SlowRequestError,
    UnavailableError,
)
from flagstream.telemetry import REFUSALS, RESPONSES

from .connections import Connections
from .errors import InternalError, encoded_error, error_response

_READ_BYTES = 65_536  # ahead of who reads a body, on each connection
_MAX_LINE_BYTES = 8_190
_MAX_HEADERS = 128


# What a connection is waited for to do. Numbers: looking up a member of an enumeration costs more
# than all else that is done here for a request that arrives whole.
_NOTHING, _REQUEST, _HEAD, _BODY, _TAKING = range(5)


class Protocol(RequestHandler):
    """
    aiohttp's own, which waits for ever and answers what is no HTTP as plain text.

    What may be read in two ways, so that a proxy might take it for something else, is refused
    and the connection closed. aiohttp's parser is strict about most of that already.
    """

    __slots__ = ("_address", "_awaited", "_body", "_connections", "_deadline_s", "_peer", "_timer")

    def __init__(
        self, server: web.Server, connections: Connections, loop: asyncio.AbstractEventLoop
    ) -> None:
        no_log: Any = None
        super().__init__(
            server,
            loop=loop,
            access_log=no_log,
            auto_decompress=False,  # bodies arrive as sent, as the application wants them
            keepalive_timeout=connections.times.idle,
            read_bufsize=_READ_BYTES,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_LINE_BYTES,
            max_headers=_MAX_HEADERS,
        )
        self._connections = connections
        self._peer: asyncio.Transport | None = None
        self._address: str | None = None
        self._body: StreamReader = EMPTY_PAYLOAD
        self._awaited = _NOTHING
        self._deadline_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections."""
        self._peer = cast("asyncio.Transport", transport)
        peername = transport.get_extra_info("peername")
        address = str(peername[0]) if isinstance(peername, tuple) else ""
        if not self._connections.admit(address):
            self._force_close = True
            self._peer.write(_counted(_TOO_MANY))
            self._peer.close()
            return
        self._address = address
        super().connection_made(transport)
        self._await(_REQUEST, self._connections.times.head)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        if self._address is not None:
            self._connections.leave(self._address)
            self._address = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._peer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what was sent."""
        known = self._request_count
        RequestHandler.data_received(self, data)
        count = self._request_count - known
        if count == 1 and self._is_plain(self._messages):
            # What comes before an answer was taken does not give more time for that.
            if self._awaited != _TAKING:
                self._awaited = _NOTHING
        elif count:
            self._check(count)
        elif self._awaited == _BODY:
            if self._body.is_eof():
                self._awaited = _NOTHING
        elif data:
            self._began()

    def _is_plain(self, messages: Sequence[Any]) -> bool:
        """Tell what nearly all are: a whole request, that there is only one way to read."""
        if not messages or not self._body.is_eof():
            return False
        message, body = messages[-1]
        if type(message) is not RawRequestMessage or message.upgrade or message.chunked:
            return False
        self._body = body
        return message.version is HttpVersion11 and message.path[0] == "/" and body.is_eof()

    def _check(self, count: int) -> None:
        """Look at requests that were read just now, before they are handled."""
        for index in range(-min(count, len(self._messages)), 0):
            message, payload = self._messages[index]
            if isinstance(message, RawRequestMessage):
                if _is_ambiguous(message):
                    self._messages[index] = _AMBIGUOUS, EMPTY_PAYLOAD
                elif message.upgrade:
                    # The parser loses what came right behind it.
                    self._messages[index] = message._replace(should_close=True), payload
            elif not self._body.is_eof():
                # The parser says so behind the request only, whose handler would wait for ever.
                del self._messages[index]
                self._break_off(web.RequestPayloadError())
                return
        self._body = self._messages[-1][1] if self._messages else EMPTY_PAYLOAD
        if self._awaited != _TAKING:
            self._await_body()

    def _await_body(self) -> None:
        """Wait for the rest of a body, if there is any."""
        if self._body.is_eof():
            self._awaited = _NOTHING
        else:
            self._await(_BODY, self._connections.times.body)

    def _began(self) -> None:
        """Wait for the rest of a head."""
        if self._awaited == _REQUEST:
            self._awaited = _HEAD
        elif self._awaited == _NOTHING:
            self._await(_HEAD, self._connections.times.head)

    def pause_writing(self) -> None:
        """Wait until the client has taken what it was answered, but not for ever."""
        super().pause_writing()
        self._await(_TAKING, self._connections.times.body)

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        self._await_body()

    def _await(self, awaited: int, seconds: float) -> None:
        self._awaited = awaited
        self._deadline_s = self._loop.time() + seconds
        # One timer looks at whatever is waited for by then: most requests arrive whole.
        if self._timer is None or self._timer.when() > self._deadline_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._awaited == _NOTHING or self._peer is None:
            return
        if self._loop.time() < self._deadline_s:
            self._timer = self._loop.call_at(self._deadline_s, self._look)
        elif self._awaited == _TAKING:
            self._peer.abort()
        elif self._awaited == _BODY:
            self._break_off(SlowRequestError("body: expected the rest of it sooner"))
        else:
            if self._awaited == _HEAD and not self._request_in_progress:
                self._peer.write(_counted(_TOO_SLOW))
            self.force_close()

    def _break_off(self, error: Exception) -> None:
        """Expect no more of a body; its handler, if it still runs, learns why, and answers."""
        if self._request_in_progress:
            self._lingering_time = 0.0
            self._body.set_exception(error)
        else:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 -- there is none
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 -- quotes what was sent, over several lines
    ) -> web.StreamResponse:
        """Answer, and close the connection: nobody knows where the next request begins."""
        error: RequestError = InvalidRequestError("request: expected HTTP/1.1")
        if status >= 500:  # noqa: PLR2004 -- where HTTP draws the line
            self.log_exception("Unexpected error", exc_info=exc)
            error = InternalError("Something went wrong here.")
        response = error_response(error)
        RESPONSES.count(response.status)
        response.force_close()
        response.headers[hdrs.CONNECTION] = "close"
        return response


def _is_ambiguous(message: RawRequestMessage) -> bool:
    """Tell requests that proxies may read otherwise, or that are for proxies."""
    if message.version is not HttpVersion11 and (
        message.version != HttpVersion10 or message.chunked
    ):
        return True
    if message.chunked and message.headers[hdrs.TRANSFER_ENCODING].lower() != "chunked":
        return True
    return not message.path.startswith("/")


class _Refusal(NamedTuple):
    """An answer for who has not asked yet."""

    error: RequestError
    raw: bytes


def _counted(refusal: _Refusal) -> bytes:
    """Count a refusal that is written by nobody else."""
    REFUSALS.count(refusal.error.code)
    RESPONSES.count(refusal.error.status)
    return refusal.raw


def _refusal(error: RequestError) -> _Refusal:
    status = HTTPStatus(error.status)
    body = encoded_error(error)
    retry = "" if error.retry_after_s is None else f"Retry-After: {error.retry_after_s}\r\n"
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{retry}"
        "Connection: close\r\n\r\n"
    )
    return _Refusal(error, head.encode() + body)


_AMBIGUOUS = _ErrInfo(400, InvalidRequestError("request: expected HTTP/1.1"), "")
_TOO_SLOW = _refusal(SlowRequestError("request: expected the rest of it sooner"))
_TOO_MANY = _refusal(UnavailableError("There are too many connections.", retry_after_s=1))


async def listen(
    runner: web.AppRunner,
    connections: Connections,
    host: str,
    port: int,
    *,
    is_shared: bool = False,
) -> asyncio.Server:
    """
    Begin to serve the application of *runner*, whose set-up is done.

    Args:
        connections: That those of the application are counted among.
        is_shared: Other processes of this user listen on the port as well.

    Raises:
        OSError: The address is in use, or not this machine's.
    """
    assert runner.server is not None, "the runner is set up first"  # noqa: S101 -- for the reader
    loop = asyncio.get_running_loop()
    protocol = partial(Protocol, runner.server, connections, loop)
    return await loop.create_server(protocol, host, port, backlog=1024, reuse_port=is_shared)
