"""What a worker does for its API processes: appends, reads of the log, metrics."""

import asyncio
from collections.abc import Sequence
from typing import Any

from flagstream import telemetry
from flagstream.errors import LogError
from flagstream.ports import Append, LogReader, Position, RecordSink
from flagstream.tracing import belonging

from .channel import Channel
from .feed import Feed
from .messages import (
    AppendRecords,
    AwaitAnswers,
    Listening,
    ReadBounds,
    ReadMetrics,
    ReadRecords,
    Request,
    Told,
)

WORKER = "worker"
_METRICS_TIMEOUT_S = 2.0


class WorkerSide:
    """
    Answers API processes, and is the sink of whatever else the worker appends.

    Attributes:
        channels: To the processes that live, by name.
    """

    def __init__(self, sink: RecordSink, reader: LogReader, feed: Feed) -> None:
        self.channels: dict[str, Channel] = {}
        self._sink = sink
        self._reader = reader
        self._feed = feed

    async def append(self, appends: Sequence[Append]) -> Sequence[Position]:
        """Append, as :class:`flagstream.ports.RecordSink`, and tell everybody."""
        return await self._append(appends, None)

    async def _append(self, appends: Sequence[Append], by: Channel | None) -> Sequence[Position]:
        positions = await self._sink.append(appends)
        self._feed.appended(appends, positions, by)
        # So that all are told before one acknowledges: written is what is sent by the next turn.
        await asyncio.sleep(0)
        return positions

    async def answer(self, channel: Channel, request: Request) -> Any:
        """
        Do what an API process asks for.

        Raises:
            LogError: The log takes no writes now, or cannot be read.
        """
        match request:
            case AppendRecords(appends, origin):
                with belonging(origin):
                    return await self._append(appends, channel)
            case ReadBounds(topics):
                return list((await self._reader.bounds(topics)).items())
            case ReadRecords(topic_partition, start, limit):
                return await self._reader.read(topic_partition, start, limit)
            case ReadMetrics():
                return await self.metrics()
            case AwaitAnswers():
                raise LogError("a worker answers no requests")

    def told(self, channel: Channel, message: Told) -> None:
        """Note whether a process listens; nothing else is told to a worker."""
        if isinstance(message, Listening):
            self._feed.listen(channel, is_listening=message.is_listening)

    async def metrics(self) -> dict[str, bytes]:
        """Read the metrics of all processes by name; those that do not answer are left out."""
        names = list(self.channels)
        answers = await asyncio.gather(
            *(self.channels[name].ask(ReadMetrics(), bytes, _METRICS_TIMEOUT_S) for name in names),
            return_exceptions=True,
        )
        answered = zip(names, answers, strict=True)
        others = {name: answer for name, answer in answered if isinstance(answer, bytes)}
        return {WORKER: telemetry.exposition(), **others}
