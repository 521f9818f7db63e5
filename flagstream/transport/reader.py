"""Reads of the embedded log without a group: the :class:`flagstream.ports.LogReader` on it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from flagstream.errors import LogUnavailableError
from flagstream.ports import LogRecord, TopicPartition
from flagstream.topics import APP_ID

from .log import Log

# Small enough that a request is not kept waiting for a batch.
_BATCH = 200


class EmbeddedReader:
    """A :class:`flagstream.ports.LogReader` on the embedded log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def bounds(self, topics: Sequence[str]) -> Mapping[TopicPartition, tuple[int, int]]:
        """Read per partition the first offset kept and the next one to be written."""
        places = [
            TopicPartition(topic, number)
            for topic in topics
            for number in range(self._log.partitions(topic))
        ]
        bounds = {place: self._log.partition(*place).bounds for place in places}
        return {place: (found.start, found.end) for place, found in bounds.items()}

    async def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Read the agents' next offsets; those of partitions where one was committed."""
        offsets = {place: self._log.committed(APP_ID, *place) for place in partitions}
        return {place: offset for place, offset in offsets.items() if offset is not None}

    async def follow(
        self, positions: Mapping[TopicPartition, int]
    ) -> AsyncIterator[Sequence[LogRecord]]:
        """Read for ever from *positions*, in batches that are never empty."""
        positions = dict(positions)
        with self._log.watch() as written:
            while True:
                written.clear()
                is_behind = False
                for place, position in positions.items():
                    records = self._read(place, position, _BATCH)
                    if records:
                        is_behind = True
                        positions[place] = records[-1].offset + 1
                        yield records
                await (asyncio.sleep(0) if is_behind else written.wait())

    async def read(
        self, topic_partition: TopicPartition, start: int, limit: int
    ) -> Sequence[LogRecord]:
        """Read at most *limit* records from offset *start* on."""
        return self._log.partition(*topic_partition).read(start, limit)

    def _read(self, place: TopicPartition, position: int, limit: int) -> Sequence[LogRecord]:
        try:
            return self._log.partition(*place).read(position, limit)
        except LogUnavailableError:
            # The log opens itself again and wakes who waits.
            return ()
