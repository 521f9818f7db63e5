"""The newest records of a topic: read backwards, in slices, as far as the log reaches."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Generic, NamedTuple, Self, TypeVar

from flagstream.ports import LogRecord, TopicPartition, TopicReader
from flagstream.topics import partition_of

MAX_EXAMINED = 10_000
"""Records that one slice looks at, at most."""

_MAX_EXAMINED_BYTES = 32 * 1024 * 1024
_MAX_CHUNK = 500
# A chunk is read at once, while others wait, and is in memory as a whole.
_CHUNK_BYTES = 1024 * 1024
# On Kafka each read is a connection of its own.
_READS_AT_ONCE = 16
_LET_IN = 100  # records, a good half of a millisecond
T = TypeVar("T")

Ends = Mapping[int, int]
"""By partition, the offset in front of which to read on; partitions that are done are missing."""


class Wanted(NamedTuple, Generic[T]):
    """
    What is looked for.

    Attributes:
        select: Makes what is shown of a record; None leaves it out.
        key: Of the records; None for those of all keys.
        after_ms: Records that were written up to then are of no use.
    """

    select: Callable[[LogRecord], T | None]
    key: bytes | None = None
    after_ms: int = -1


class Slice(NamedTuple, Generic[T]):
    """
    What was found, the newest first.

    Attributes:
        ends: Where to go on, also where nothing was found so far; empty once all was looked at.
    """

    found: Sequence[T]
    ends: Ends


async def newest(
    reader: TopicReader, topic: str, wanted: Wanted[T], *, limit: int, ends: Ends | None = None
) -> Slice[T]:
    """
    Read a slice of a topic backwards; records of several partitions by the time they were written.

    Args:
        ends: Of the slice before; None for the first.

    Raises:
        LogUnavailableError: The log cannot be read now.
    """
    places = await _places(reader, topic, wanted.key, ends)
    size = 1 + 2 * limit // max(1, len(places))
    partitions = [_Partition(reader, place, bounds, size) for place, bounds in places.items()]
    records = await _Merged.of(partitions)
    found: list[T] = []
    examined = examined_bytes = 0
    while len(found) < limit and (record := await records.take(wanted.after_ms)) is not None:
        chosen = wanted.select(record) if wanted.key in (None, record.key) else None
        if chosen is not None:
            found.append(chosen)
        examined += 1
        examined_bytes += len(record.value or b"")
        if examined == MAX_EXAMINED or examined_bytes > _MAX_EXAMINED_BYTES:
            break
        if examined % _LET_IN == 0:
            await asyncio.sleep(0)
    ends = {each.number: each.end for each in partitions if each.may_hold(wanted.after_ms)}
    return Slice(found, ends)


async def _places(
    reader: TopicReader, topic: str, key: bytes | None, ends: Ends | None
) -> Mapping[TopicPartition, tuple[int, int]]:
    """Find where to read, and the offsets between which."""
    bounds = await reader.bounds([topic])
    if key is not None:
        place = TopicPartition(topic, partition_of(key, len(bounds)))
        bounds = {place: bounds[place]}
    if ends is None:
        return bounds
    return {
        place: (start, min(end, ends[place.partition]))
        for place, (start, end) in bounds.items()
        if place.partition in ends
    }


class _Merged:
    """The records of several partitions, backwards by the time they were written."""

    @classmethod
    async def of(cls, partitions: Sequence["_Partition"]) -> Self:
        """Begin with a chunk of each."""
        for first in range(0, len(partitions), _READS_AT_ONCE):
            some = partitions[first : first + _READS_AT_ONCE]
            await asyncio.gather(*(each.fill() for each in some))
        return cls(partitions)

    def __init__(self, partitions: Sequence["_Partition"]) -> None:
        self._by_number = {each.number: each for each in partitions}
        self._latest: list[tuple[int, int]] = []
        for each in partitions:
            self._note(each)

    def _note(self, partition: "_Partition") -> None:
        if partition.latest is not None:
            heappush(self._latest, (-partition.latest.timestamp_ms, partition.number))

    async def take(self, after_ms: int) -> LogRecord | None:
        """Take the newest record; None where all that are left were written before."""
        while self._latest:
            time_ms, number = heappop(self._latest)
            partition = self._by_number[number]
            if -time_ms > after_ms:
                record = await partition.take()
                self._note(partition)
                return record
            partition.leave_out()
        return None


class _Partition:
    """
    One partition, read backwards, of which a chunk is in memory.

    Attributes:
        number: Of the partition.
    """

    def __init__(
        self, reader: TopicReader, place: TopicPartition, bounds: tuple[int, int], size: int
    ) -> None:
        """
        Prepare.

        Args:
            size: Records in the first chunk.
        """
        self.number = place.partition
        self._reader = reader
        self._place = place
        self._start, self._below = bounds
        self._chunk: list[LogRecord] = []
        self._size = min(size, _MAX_CHUNK)

    @property
    def latest(self) -> LogRecord | None:
        """The last record that is left of the chunk."""
        return self._chunk[-1] if self._chunk else None

    @property
    def end(self) -> int:
        """The offset behind what is left."""
        return self._chunk[-1].offset + 1 if self._chunk else self._below

    def may_hold(self, after_ms: int) -> bool:
        """Tell whether a record may be left that was written later."""
        if self.latest is not None:
            return self.latest.timestamp_ms > after_ms
        return self._below > self._start

    async def take(self) -> LogRecord:
        """Take the last record."""
        record = self._chunk.pop()
        await self.fill()
        return record

    def leave_out(self) -> None:
        """Take nothing more."""
        self._chunk, self._below = [], self._start

    async def fill(self) -> None:
        """Read a chunk, where none is left and there are records in front of it."""
        while not self._chunk and self._below > self._start:
            chunk, first = await self._read(max(self._start, self._below - self._size))
            size_bytes = sum(len(record.value or b"") for record in chunk)
            is_light = size_bytes < _CHUNK_BYTES
            self._size = min(2 * self._size, _MAX_CHUNK) if is_light else max(1, len(chunk) // 2)
            self._chunk, self._below = list(chunk), first

    async def _read(self, first: int) -> tuple[Sequence[LogRecord], int]:
        """
        Read from an offset on.

        Where the records are too large to be read at once, what is left is the last of them.

        Returns:
            The records, and the offset from which they were read.
        """
        chunk: Sequence[LogRecord] = ()
        position = first
        while position < self._below:
            read = await self._reader.read(self._place, position, self._below - position)
            records = [record for record in read if record.offset < self._below]
            if not records:
                break
            chunk, first = records, position
            position = records[-1].offset + 1
        return chunk, first
