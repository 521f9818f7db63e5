"""A connection between a worker and one of its API processes, over which both may ask."""

import asyncio
import logging
import socket
from itertools import count
from typing import Any, Protocol, TypeVar, cast

import msgspec

from flagstream.errors import LogError, LogUnavailableError

from .framing import Frames, framed
from .messages import Answer, Call, Listening, Message, News, Refusal, Request, Told

logger = logging.getLogger(__name__)

# Of a worker that stands still; nobody who is asked has to wait for long.
_ANSWER_TIMEOUT_S = 5.0
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode
_T = TypeVar("_T")


class Side(Protocol):
    """Who uses a channel."""

    async def answer(self, channel: "Channel", request: Request) -> Any:
        """
        Do what the other side asks for.

        Raises:
            LogError: It cannot be done; the other side learns why.
        """
        ...

    def told(self, channel: "Channel", message: Told) -> None:
        """Take in what the other side tells; at once, as it was told before what follows."""
        ...


class Channel(asyncio.Protocol):
    """
    Asks, answers and tells; what is told or answered arrives in the order in which it was sent.

    Attributes:
        closed: Done once the other side is gone.
    """

    def __init__(self, side: Side) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._side = side
        self._frames = Frames()
        self._numbers = count()
        self._calls: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def over(cls, connection: socket.socket, side: Side) -> "Channel":
        """Open it over one end of a pair of sockets."""
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(lambda: cls(side), sock=connection)
        return channel

    @property
    def backlog_bytes(self) -> int:
        """How much was sent that the other side has not taken."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def tell(self, message: Told) -> None:
        """Tell without an answer; nothing happens where the other side is gone."""
        self._send(message)

    async def ask(
        self, request: Request, answer_type: type[_T], timeout_s: float | None = _ANSWER_TIMEOUT_S
    ) -> _T:
        """
        Ask, and wait for the answer, with None for ever.

        Raises:
            LogUnavailableError: It was refused, or the other side is gone or does not answer;
                then nobody knows whether it was done.
        """
        if self.closed.done():
            raise LogUnavailableError("the worker is gone")
        number = next(self._numbers)
        call = self._calls[number] = asyncio.get_running_loop().create_future()
        self._send(Call(number, request))
        try:
            async with asyncio.timeout(timeout_s):
                body = await call
        except TimeoutError:
            raise LogUnavailableError("the worker does not answer") from None
        finally:
            del self._calls[number]
        return msgspec.msgpack.decode(body, type=answer_type)

    def _send(self, message: Message) -> None:
        if self._transport is not None and not self.closed.done():
            self._transport.write(framed(_encode(message)))

    async def _answer(self, call: Call) -> None:
        try:
            body = _encode(await self._side.answer(self, call.request))
        except LogError as error:
            self._send(Refusal(call.number, str(error)))
        except Exception as error:
            logger.exception("a request of another process failed")
            # Its words may quote what was sent; the other side logs what it is told.
            self._send(Refusal(call.number, f"it failed: {type(error).__name__}"))
        else:
            self._send(Answer(call.number, msgspec.Raw(body)))

    # -- as asyncio calls it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take in what has arrived."""
        for frame in self._frames.feed(data):
            self._received(_decode(frame))

    def _received(self, message: Message) -> None:
        match message:
            case News() | Listening():
                self._side.told(self, message)
            case Call():
                task = asyncio.create_task(self._answer(message))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            case Answer():
                self._finish(message.number, message.body)
            case Refusal():
                self._finish(message.number, LogUnavailableError(message.detail))

    def _finish(self, number: int, outcome: msgspec.Raw | LogUnavailableError) -> None:
        call = self._calls.get(number)
        # Whoever asked may have gone.
        if call is None or call.done():
            return
        if isinstance(outcome, LogUnavailableError):
            call.set_exception(outcome)
        else:
            call.set_result(outcome)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- as asyncio calls it
        """Refuse everybody who waits."""
        self.closed.set_result(None)
        for number in list(self._calls):
            self._finish(number, LogUnavailableError("the worker is gone"))
