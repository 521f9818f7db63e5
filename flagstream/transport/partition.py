"""One partition of the log: its bounds, its newest records in memory, and how it is written."""

from collections.abc import Sequence
from typing import NamedTuple

from rocksdict import WriteBatch

from flagstream.errors import LogError
from flagstream.ports import LogRecord

from .layout import (
    Bounds,
    Stored,
    TopicMeta,
    bounds_key,
    latest_key,
    offset_bytes,
    offset_from,
    offset_of,
    record_key,
    stored,
    stored_bytes,
    tombstone_key,
)
from .rocks import Database

MAX_READ_BYTES = 4 * 1024 * 1024
TAIL_BYTES = 256 * 1024

# What a record costs in memory beside its key and value.
_OVERHEAD_BYTES = 300


class Line(NamedTuple):
    """A record that has no offset yet."""

    key: bytes
    value: bytes | None
    timestamp_ms: int


class Staged(NamedTuple):
    """Records that are in a batch but not written."""

    records: list[LogRecord]
    bounds: Bounds


class Partition:
    """
    One partition, as far as it was written.

    Attributes:
        bounds: Of what is in RocksDB; readers see nothing behind ``bounds.end``.
    """

    def __init__(self, topic: str, number: int, meta: TopicMeta, database: Database) -> None:
        self.topic = topic
        self.number = number
        self.meta = meta
        self._database = database
        self._tail: list[LogRecord] = []
        self._tail_bytes = 0
        self.reload()

    def reload(self) -> None:
        """Read the bounds again after the database was opened again."""
        self.bounds = Bounds.from_bytes(self._database.get(self._bounds_key))
        self._tail.clear()
        self._tail_bytes = 0

    @property
    def _bounds_key(self) -> bytes:
        return bounds_key(self.meta.id, self.number)

    def stage(self, batch: WriteBatch, lines: Sequence[Line]) -> Staged:
        """Put *lines* into *batch* behind what the partition holds."""
        offset, position_bytes = self.bounds.end, self.bounds.bytes_written
        records = []
        for key, value, timestamp_ms in lines:
            raw = stored_bytes(timestamp_ms, position_bytes, key, value)
            batch.put(record_key(self.meta.id, self.number, offset), raw)
            records.append(LogRecord(self.topic, self.number, offset, timestamp_ms, key, value))
            position_bytes += len(raw)
            offset += 1
        if self.meta.is_compacted:
            self._compact(batch, records)
        bounds = Bounds(self.bounds.start, offset, position_bytes)
        batch.put(self._bounds_key, bounds.to_bytes())
        return Staged(records, bounds)

    def _compact(self, batch: WriteBatch, records: Sequence[LogRecord]) -> None:
        latest: dict[bytes, int] = {}
        for record in records:
            previous = latest.get(record.key)
            if previous is None:
                raw = self._database.get(latest_key(self.meta.id, self.number, record.key))
                previous = None if raw is None else offset_from(raw)
            if previous is not None:
                batch.delete(record_key(self.meta.id, self.number, previous))
            if record.value is None:
                age = (record.timestamp_ms, self.meta.id, self.number, record.offset)
                batch.put(tombstone_key(*age), b"")
            latest[record.key] = record.offset
        for key, offset in latest.items():
            batch.put(latest_key(self.meta.id, self.number, key), offset_bytes(offset))

    def publish(self, staged: Staged) -> None:
        """Show readers what has been written."""
        self.bounds = staged.bounds
        self._tail += staged.records
        self._tail_bytes += sum(map(_memory_bytes, staged.records))
        if self._tail_bytes > TAIL_BYTES:
            self._shorten_tail()

    def _shorten_tail(self) -> None:
        # To the half, so that the list is not moved for every record.
        dropped = 0
        for record in self._tail:
            if self._tail_bytes <= TAIL_BYTES // 2:
                break
            self._tail_bytes -= _memory_bytes(record)
            dropped += 1
        del self._tail[:dropped]

    def stage_start(self, batch: WriteBatch, start: int) -> Bounds:
        """Put into *batch* that everything below *start* goes."""
        first, last = (record_key(self.meta.id, self.number, offset) for offset in (0, start))
        batch.delete_range(first, last)
        bounds = Bounds(start, self.bounds.end, self.bounds.bytes_written)
        batch.put(self._bounds_key, bounds.to_bytes())
        return bounds

    def read(self, offset: int, limit: int) -> list[LogRecord]:
        """
        Read at most *limit* records from *offset* on, oldest first.

        Raises:
            LogError: Records are missing, in a topic where none may.
        """
        offset = max(offset, self.bounds.start)
        in_tail = offset - (self.bounds.end - len(self._tail))
        if in_tail >= 0:
            return self._tail[in_tail : in_tail + limit]
        records = self._scan(offset, limit)
        if not self.meta.is_compacted and (not records or records[0].offset != offset):
            raise LogError(f"{self.topic}/{self.number}: record {offset} is missing")
        return records

    def _scan(self, offset: int, limit: int) -> list[LogRecord]:
        records: list[LogRecord] = []
        room_bytes = MAX_READ_BYTES
        first, last = (record_key(self.meta.id, self.number, o) for o in (offset, self.bounds.end))
        for raw_key, raw in self._database.items(first, last):
            entry = stored(raw)
            record = (offset_of(raw_key), entry.timestamp_ms, entry.key, entry.value)
            records.append(LogRecord(self.topic, self.number, *record))
            room_bytes -= len(raw)
            if len(records) == limit or room_bytes <= 0:
                break
        return records

    def entry(self, offset: int) -> Stored:
        """Read one record that is there, without its place."""
        raw = self._database.get(record_key(self.meta.id, self.number, offset))
        if raw is None:
            raise LogError(f"{self.topic}/{self.number}: record {offset} is missing")
        return stored(raw)

    def stage_forgotten(self, batch: WriteBatch, offset: int) -> None:
        """Put into *batch* that a tombstone goes, if nothing has followed it."""
        raw_key = record_key(self.meta.id, self.number, offset)
        raw = self._database.get(raw_key)
        if raw is not None:
            batch.delete(raw_key)
            batch.delete(latest_key(self.meta.id, self.number, stored(raw).key))


def _memory_bytes(record: LogRecord) -> int:
    return len(record.key) + len(record.value or b"") + _OVERHEAD_BYTES
