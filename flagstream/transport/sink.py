"""Capture's way into the embedded log: the :class:`flagstream.ports.RecordSink` on it."""

import time
from collections.abc import Sequence

from flagstream.ports import Append, Position
from flagstream.topics import partition_of

from .log import Log, NewRecord


class EmbeddedSink:
    """A :class:`flagstream.ports.RecordSink` on the embedded log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def append(self, appends: Sequence[Append]) -> Sequence[Position]:
        """
        Append records; return once they are durable, in the order given.

        Raises:
            LogUnavailableError: The log takes no writes now; nothing may be acknowledged.
        """
        now_ms = time.time_ns() // 1_000_000
        records = [self._placed(append, now_ms) for append in appends]
        offsets = await self._log.append(records)
        return [
            Position(record.topic, record.partition, offset)
            for record, offset in zip(records, offsets, strict=True)
        ]

    def _placed(self, append: Append, now_ms: int) -> NewRecord:
        partition = partition_of(append.key, self._log.partitions(append.topic))
        return NewRecord(append.topic.value, partition, append.key, append.value, now_ms)
