"""A log in memory, as followers read one."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from flagstream.errors import LogUnavailableError
from flagstream.ports import LogRecord, TopicPartition


class FakeLog:
    """
    A :class:`flagstream.ports.LogReader` over lists.

    Attributes:
        batch: Records that are handed over at once.
        failures: How often the next reads of a follower, and of commits, fail.
        followed: From where each follower began.
        commits: The agents' next offsets.
    """

    def __init__(self, partitions: int = 1, *, batch: int = 1_000) -> None:
        self.partitions = partitions
        self.batch = batch
        self.failures = 0
        self.followed: list[Mapping[TopicPartition, int]] = []
        self.commits: dict[TopicPartition, int] = {}
        self._records: dict[TopicPartition, list[LogRecord]] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._watchers: set[asyncio.Event] = set()

    def append(self, topic: str, key: bytes, value: bytes | None, partition: int = 0) -> int:
        """Append a record; returns its offset."""
        offset = self.extend(topic, [(key, value)], partition)
        for watcher in self._watchers:
            watcher.set()
        return offset

    def extend(
        self, topic: str, records: Sequence[tuple[bytes, bytes | None]], partition: int = 0
    ) -> int:
        """Append records without waking who follows; returns the last offset."""
        place = TopicPartition(topic, partition)
        for key, value in records:
            offset = self._ends.get(place, 0)
            self._ends[place] = offset + 1
            record = LogRecord(topic, partition, offset, offset, key, value)
            self._records.setdefault(place, []).append(record)
        return self._ends.get(place, 0) - 1

    def compact(self, topic: str, offset: int, partition: int = 0) -> None:
        """Remove one record, as compaction does."""
        place = TopicPartition(topic, partition)
        self._records[place] = [each for each in self._records[place] if each.offset != offset]

    async def bounds(self, topics: Sequence[str]) -> Mapping[TopicPartition, tuple[int, int]]:
        places = [
            TopicPartition(topic, number) for topic in topics for number in range(self.partitions)
        ]
        return {place: (0, self._ends.get(place, 0)) for place in places}

    async def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._fail()
        return {place: self.commits[place] for place in partitions if place in self.commits}

    async def follow(
        self, positions: Mapping[TopicPartition, int]
    ) -> AsyncIterator[Sequence[LogRecord]]:
        positions = dict(positions)
        self.followed.append(dict(positions))
        written = asyncio.Event()
        self._watchers.add(written)
        try:
            while True:
                written.clear()
                for records in await self._read_all(positions):
                    positions[TopicPartition(*records[0][:2])] = records[-1].offset + 1
                    written.set()
                    yield records
                await written.wait()
        finally:
            self._watchers.discard(written)

    async def _read_all(
        self, positions: Mapping[TopicPartition, int]
    ) -> Sequence[Sequence[LogRecord]]:
        self._fail()
        batches = [await self.read(*each, self.batch) for each in positions.items()]
        return [records for records in batches if records]

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise LogUnavailableError("broker down")

    async def read(
        self, topic_partition: TopicPartition, start: int, limit: int
    ) -> Sequence[LogRecord]:
        # Offsets have gaps, but never fall behind their index.
        records = self._records.get(topic_partition, [])
        index = min(start, len(records))
        while index and records[index - 1].offset >= start:
            index -= 1
        return records[index : index + limit]
