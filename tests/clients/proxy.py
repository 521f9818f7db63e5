"""Between a client and the server: where requests fail as a test has planned it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from http import HTTPStatus
from typing import Any, NamedTuple

from aiohttp import ClientSession, hdrs, web
from multidict import CIMultiDict
from yarl import URL

from flagstream.errors import (
    BodyTooLargeError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    QuotaExceededError,
    UnauthenticatedError,
    UnavailableError,
)
from flagstream.routes.errors import InternalError, error_response
from flagstream.routes.responses import json_headers
from flagstream.wire import decode_body
from tests.clients.serving import serving

_ERRORS = {
    error.status: error
    for error in (
        InvalidRequestError,
        UnauthenticatedError,
        QuotaExceededError,
        ForbiddenError,
        NotFoundError,
        BodyTooLargeError,
        OverloadedError,
        InternalError,
        UnavailableError,
    )
}
# Of one connection, which is not that between client and proxy.
_HOP_HEADERS = {hdrs.HOST, hdrs.CONNECTION, hdrs.TRANSFER_ENCODING, hdrs.CONTENT_LENGTH}


class Kind(StrEnum):
    """What is asked for."""

    EVENTS = "events"
    FLAGS = "flags"


_KINDS = {
    "/batch": Kind.EVENTS,
    "/e": Kind.EVENTS,
    "/i/v0/e": Kind.EVENTS,
    "/capture": Kind.EVENTS,
    "/flags": Kind.FLAGS,
    "/decide": Kind.FLAGS,
}


class Fault(NamedTuple):
    """
    How one request fails.

    Attributes:
        status: Of the answer; None where the connection is dropped instead.
        is_taken: The server has got the request, and all is durable; the client cannot know.
        is_late: There is no answer for as long as the client waits for one.
    """

    status: int | None = None
    retry_after_s: int | None = None
    is_taken: bool = False
    is_late: bool = False


class Exchange(NamedTuple):
    """
    A request as it came.

    Attributes:
        at_s: By the clock of the proxy.
        events: Uuid, where there was one, by name.
    """

    row: str
    kind: Kind
    at_s: float
    events: dict[str, str | None]


class FaultProxy:
    """
    Hands requests on to the server, but for those that a plan lets fail.

    Clients tell rows of a test apart by the first part of the path, so that any number of them go
    through one proxy. Each connection carries one request: a browser sends again by itself what it
    has sent on a connection that was used before, and nobody would see what its client does.
    """

    def __init__(self, target: str, clock: Callable[[], float]) -> None:
        self.url = ""
        self.exchanges: list[Exchange] = []
        self._target = target
        self._clock = clock
        self._plans: dict[tuple[str, Kind], Iterator[Fault | None]] = {}
        self._failing: dict[tuple[str, Kind], asyncio.Event] = {}

    def plan(self, row: str, kind: Kind, faults: Iterable[Fault | None]) -> str:
        """Let the requests of a row fail so, one after the other; returns the row's address."""
        self._plans[row, kind] = iter(faults)
        return self.address(row)

    def address(self, row: str) -> str:
        """Tell where the client of a row finds its server."""
        return f"{self.url}/{row}"

    @property
    def is_failing(self) -> bool:
        """Tell whether a request has not failed yet: its client waits for an answer."""
        return bool(self._failing)

    async def session(self, app: web.Application) -> AsyncIterator[None]:
        """Hold the connections to the server."""
        async with ClientSession(auto_decompress=False) as self._session:
            yield

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer as planned."""
        response = await self._answer(request)
        response.force_close()
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        row, _, path = request.path.removeprefix("/").partition("/")
        body = await request.read()
        kind = _KINDS.get(f"/{path}".rstrip("/"))
        if request.method != hdrs.METH_POST or kind is None:
            return await self._forward(request, body)
        events = _events(request, body) if kind is Kind.EVENTS else {}
        self.exchanges.append(Exchange(row, kind, self._clock(), events))
        if (row, kind) in self._failing:
            self._failing[row, kind].set()
        fault = next(self._plans.get((row, kind), iter(())), None)
        if fault is None:
            return await self._forward(request, body)
        with self._failing_until_asked_again(row, kind) as asked_again:
            if fault.is_taken:
                # To the end, also where the client does not wait for it.
                answer = await asyncio.shield(self._forward(request, body))
                assert answer.status == HTTPStatus.OK
            if fault.is_late:
                # Where the client gives up without, this ends with the connection. Chromium keeps
                # a connection whose request its page has given up.
                await asked_again.wait()
        return _failure(request, fault)

    @contextmanager
    def _failing_until_asked_again(self, row: str, kind: Kind) -> Iterator[asyncio.Event]:
        asked_again = self._failing[row, kind] = asyncio.Event()
        try:
            yield asked_again
        finally:
            if self._failing.get((row, kind)) is asked_again:
                del self._failing[row, kind]

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        _, _, path = request.raw_path.removeprefix("/").partition("/")
        async with self._session.request(
            request.method,
            URL(f"{self._target}/{path}", encoded=True),
            headers=_end_to_end(request.headers),
            data=body,
        ) as answer:
            return web.Response(
                status=answer.status,
                body=await answer.read(),
                headers=_end_to_end(answer.headers),
            )


@contextmanager
def proxying(target: str, clock: Callable[[], float] = time.monotonic) -> Iterator[FaultProxy]:
    """Put a proxy before the server at *target*."""
    proxy = FaultProxy(target, clock)
    app = web.Application(client_max_size=2**24)
    app.cleanup_ctx.append(proxy.session)
    app.router.add_route(hdrs.METH_ANY, "/{path:.*}", proxy.answer)
    # Who does not wait for a late answer ends the waiting here too.
    with serving(app, handler_cancellation=True, shutdown_timeout=1.0) as proxy.url:
        yield proxy


def _end_to_end(headers: Any) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name not in _HOP_HEADERS)


def _failure(request: web.Request, fault: Fault) -> web.Response:
    """Refuse as flagstream does; what it never answers, as what stands before it."""
    if fault.status is None:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()
    error = _ERRORS.get(fault.status)
    if error is not None:
        refusal = error("So it was planned.", retry_after_s=fault.retry_after_s)
        return error_response(refusal, request)
    # Readable for the page, or its client takes it for a dropped connection.
    headers = json_headers(request.headers.get(hdrs.ORIGIN)).copy()
    headers[hdrs.CONTENT_TYPE] = "text/plain"
    is_empty = fault.status == HTTPStatus.NO_CONTENT
    text = None if is_empty else HTTPStatus(fault.status).phrase
    return web.Response(status=fault.status, text=text, headers=headers)


def _events(request: web.Request, body: bytes) -> dict[str, str | None]:
    sent = decode_body(
        body,
        query=request.query,
        content_encoding=request.headers.get(hdrs.CONTENT_ENCODING),
        max_bytes=2**24,
        max_depth=64,
    )
    batch = sent["batch"] if isinstance(sent, dict) and "batch" in sent else sent
    return {
        event["event"]: event.get("uuid")
        for event in (batch if isinstance(batch, list) else [batch])
    }
