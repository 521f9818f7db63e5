"""The log, as API processes use it: through their worker."""

from collections.abc import Mapping, Sequence

from flagstream.ports import Append, LogRecord, Position, TopicPartition
from flagstream.tracing import traceparent

from .channel import Channel
from .messages import AppendRecords, ReadBounds, ReadRecords

_Bounds = list[tuple[TopicPartition, tuple[int, int]]]


class RemoteLog:
    """A :class:`flagstream.ports.RecordSink` and :class:`flagstream.ports.TopicReader`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def append(self, appends: Sequence[Append]) -> Sequence[Position]:
        """
        Append records; return once they are durable, in the order given.

        Raises:
            LogUnavailableError: The log takes no writes now, or the worker is gone.
        """
        return await self._channel.ask(AppendRecords(appends, traceparent()), list[Position])

    async def bounds(self, topics: Sequence[str]) -> Mapping[TopicPartition, tuple[int, int]]:
        """Read per partition the first offset kept and the next one to be written."""
        return dict(await self._channel.ask(ReadBounds(topics), _Bounds))

    async def read(
        self, topic_partition: TopicPartition, start: int, limit: int
    ) -> Sequence[LogRecord]:
        """Read at most *limit* records from offset *start* on."""
        request = ReadRecords(topic_partition, start, limit)
        return await self._channel.ask(request, list[LogRecord])
