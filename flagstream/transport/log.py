"""The embedded log: topics, records and committed offsets in one RocksDB, for one process."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rocksdict import WriteBatch

from flagstream.errors import LogError, LogFormatError, LogUnavailableError

from . import layout, retention
from .layout import TopicMeta
from .options import LogOptions
from .partition import Line, Partition
from .rocks import Database
from .writer import Posted, Request, Write, Writer

RETENTION_INTERVAL_S = 60.0


class NewRecord(NamedTuple):
    """A record to be appended."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None
    timestamp_ms: int


class Log:
    """
    A log that one process writes and reads, on one event loop.

    Appends of one turn of the loop are written together. Readers see a record once RocksDB has
    it, so nobody is ever ahead of a log whose process was killed.

    A write that fails refuses everybody who waits for it. The log then takes no requests until
    it could be opened again, which it tries by itself; posted records wait for that.
    """

    def __init__(self, options: LogOptions) -> None:
        """
        Open or create.

        Raises:
            LogLockedError: Another process holds the directory.
            LogFormatError: The directory was written by a newer flagstream.
        """
        self.options = options
        self._database = Database(options.directory)
        self._check_format()
        self._metas = self._read_metas()
        self._partitions = {
            (name, number): Partition(name, number, meta, self._database)
            for name, meta in self._metas.items()
            for number in range(0 if meta.is_deleted else meta.partitions)
        }
        self._committed = {
            layout.committed_parts(key): layout.offset_from(raw)
            for key, raw in self._entries(layout.COMMITTED)
        }
        self._listeners: dict[str, Callable[[int, int, int], None]] = {}
        self._watchers: set[asyncio.Event] = set()
        self._opened_ms = _now_ms()
        self._retention: asyncio.TimerHandle | None = None
        self._writer = Writer(
            self._database, options, published=self._published, recovered=self._reload
        )

    def _check_format(self) -> None:
        raw = self._database.get(layout.FORMAT_KEY)
        if raw is None:
            batch = WriteBatch(raw_mode=True)
            batch.put(layout.FORMAT_KEY, str(layout.FORMAT).encode())
            self._database.write(batch, sync=True)
        elif int(raw) > layout.FORMAT:
            self._database.close()
            raise LogFormatError(
                f"{self.options.directory}: format {int(raw)}, this version reads {layout.FORMAT}"
            )

    def _entries(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._database.items(prefix, layout.prefix_end(prefix))

    def _read_metas(self) -> dict[str, TopicMeta]:
        return {
            key.removeprefix(layout.TOPIC).decode(): msgspec.json.decode(raw, type=TopicMeta)
            for key, raw in self._entries(layout.TOPIC)
        }

    # -- topics

    def create_topic(self, name: str, partitions: int, *, is_compacted: bool) -> None:
        """
        Create a topic unless it is there.

        Raises:
            LogError: It is there with another number of partitions, or compacted differently.
        """
        known = self._metas.get(name)
        if known is not None and not known.is_deleted:
            _check_same(name, known, partitions, is_compacted=is_compacted)
            return
        meta = TopicMeta(
            id=1 + max((meta.id for meta in self._metas.values()), default=0),
            partitions=partitions,
            is_compacted=is_compacted,
            epoch=0 if known is None else known.epoch + 1,
        )
        self._write_meta(name, meta)
        for number in range(partitions):
            self._partitions[name, number] = Partition(name, number, meta, self._database)

    async def delete_topic(self, name: str) -> None:
        """Delete a topic with its records and committed offsets; its epoch is remembered."""
        await self.flush()
        meta = self._meta(name)
        for number in range(meta.partitions):
            del self._partitions[name, number]
        batch = WriteBatch(raw_mode=True)
        for kind in (layout.RECORD, layout.LATEST, layout.PARTITION):
            batch.delete_range(*layout.topic_range(kind, meta.id))
        for group, topic, number in [key for key in self._committed if key[1] == name]:
            del self._committed[group, topic, number]
            batch.delete(layout.committed_key(group, topic, number))
        self._write_meta(name, msgspec.structs.replace(meta, is_deleted=True), batch)

    def _write_meta(self, name: str, meta: TopicMeta, batch: WriteBatch | None = None) -> None:
        batch = batch or WriteBatch(raw_mode=True)
        batch.put(layout.topic_key(name), msgspec.json.encode(meta))
        self._database.write(batch, sync=True)
        self._metas[name] = meta

    def _meta(self, name: str) -> TopicMeta:
        meta = self._metas.get(name)
        if meta is None or meta.is_deleted:
            raise LogError(f"{name}: there is no such topic")
        return meta

    def topics(self) -> Sequence[str]:
        """List the topics."""
        return [name for name, meta in self._metas.items() if not meta.is_deleted]

    def partitions(self, topic: str) -> int:
        """Read a topic's number of partitions."""
        return self._meta(topic).partitions

    def epoch(self, topic: str) -> int:
        """Read how often the topic was deleted and created again."""
        return self._meta(topic).epoch

    # -- reading

    def partition(self, topic: str, number: int) -> Partition:
        """
        Find a partition, whose ``bounds`` and ``read`` are for everybody.

        Raises:
            LogError: There is none.
        """
        try:
            return self._partitions[topic, number]
        except KeyError:
            raise LogError(f"{topic}/{number}: there is no such partition") from None

    @contextmanager
    def watch(self) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever records have been written."""
        event = asyncio.Event()
        self._watchers.add(event)
        try:
            yield event
        finally:
            self._watchers.discard(event)

    def listen(self, topic: str, listener: Callable[[int, int, int], None]) -> None:
        """Call *listener* with partition, last offset and number of posted records written."""
        self._listeners[topic] = listener

    def committed(self, group: str, topic: str, partition: int) -> int | None:
        """Read the offset from which a group goes on; None where it never committed."""
        return self._committed.get((group, topic, partition))

    # -- writing

    @property
    def is_available(self) -> bool:
        """Tell whether the log takes writes."""
        return self._writer.is_available

    def check_available(self) -> None:
        """
        Check that the log takes writes.

        Raises:
            LogUnavailableError: It does not.
        """
        self._writer.check_available()

    async def append(self, records: Sequence[NewRecord]) -> list[int]:
        """
        Append records and return their offsets once they are durable.

        Raises:
            LogUnavailableError: The log takes no writes now; none of the records is in it.
            LogError: There is no such partition.
        """
        lines = [
            (self.partition(record.topic, record.partition), Line(*record[2:]))
            for record in records
        ]
        request = Request(lines)
        await self._writer.request(request)
        return request.offsets

    async def commit(self, group: str, offsets: Mapping[Any, int]) -> None:
        """
        Commit the offsets from which *group* goes on, behind everything that was posted before.

        Raises:
            LogUnavailableError: The log takes no writes now; nothing is committed.
        """
        commits = {(group, topic, number): offset for (topic, number), offset in offsets.items()}
        await self._writer.request(Request(commits=commits))

    async def flush(self) -> None:
        """
        Wait until everything that was posted before is durable.

        Raises:
            LogUnavailableError: The log takes no writes now.
        """
        await self._writer.request(Request())

    async def checkpoint(self, directory: Path) -> None:
        """
        Write a copy of the log as it is now, which another process can open, in moments.

        It shares its files with the log, so it has to be on the same file system.

        Raises:
            LogUnavailableError: The disk is full or broken.
        """
        await self._writer.beside(partial(self._database.checkpoint, directory))

    def post(self, record: NewRecord, written: Callable[[int], None] | None = None) -> None:
        """
        Append a record without waiting: it is kept until it is written.

        Args:
            written: Called with the offset once the record is durable.
        """
        partition = self.partition(record.topic, record.partition)
        self._writer.post(partition, Posted(Line(*record[2:]), written))

    def _published(self, write: Write) -> None:
        for partition, posted in write.posted.items():
            listener = self._listeners.get(partition.topic)
            if listener is not None:
                last = write.staged[partition].records[len(posted) - 1]
                listener(partition.number, last.offset, len(posted))
        for request in write.requests:
            self._committed.update(request.commits)
        for event in self._watchers:
            event.set()
        if self._retention is None:
            loop = asyncio.get_running_loop()
            self._retention = loop.call_later(RETENTION_INTERVAL_S, self._start_retention)

    def _reload(self) -> None:
        for partition in self._partitions.values():
            partition.reload()

    # -- forgetting

    def _start_retention(self) -> None:
        self._retention = None
        self._writer.between(lambda: self.retain(_now_ms()))

    def retain(self, now_ms: int) -> None:
        """Forget what is too old or too much; done every minute while records are written."""
        options = self.options
        starts = retention.first_kept(
            self._partitions.values(),
            committed=self._lowest_committed,
            oldest_ms=now_ms - int(options.retention_hours * 3_600_000),
            max_bytes=options.retention_bytes,
        )
        batch = WriteBatch(raw_mode=True)
        bounds = {partition: partition.stage_start(batch, at) for partition, at in starts.items()}
        if now_ms - self._opened_ms > retention.CATCH_UP_MS:
            by_id = {(p.meta.id, p.number): p for p in self._partitions.values()}
            oldest_ms = now_ms - retention.TOMBSTONE_MS
            retention.stage_tombstones(batch, self._database, by_id, oldest_ms)
        try:
            self._database.write(batch)
        except LogUnavailableError as error:
            self._writer.fail(error)
            return
        for partition, kept in bounds.items():
            partition.bounds = kept

    def topic_bytes(self) -> Mapping[str, int]:
        """Tell how much there is of each topic that is not compacted."""
        sizes = Counter[str]()
        for partition in self._partitions.values():
            if not partition.meta.is_compacted:
                sizes[partition.topic] += retention.size_bytes(partition)
        return sizes

    def _lowest_committed(self, partition: Partition) -> int | None:
        place = (partition.topic, partition.number)
        return min((at for key, at in self._committed.items() if key[1:] == place), default=None)

    async def close(self) -> None:
        """Write and sync what is left, then give the directory free."""
        if self._retention is not None:
            self._retention.cancel()
        await self._writer.close()
        self._database.close()


def _check_same(name: str, known: TopicMeta, partitions: int, *, is_compacted: bool) -> None:
    if known.partitions != partitions:
        raise LogError(f"{name}: has {known.partitions} partitions, expected {partitions}")
    if known.is_compacted != is_compacted:
        raise LogError(f"{name}: is_compacted is {known.is_compacted}, expected {is_compacted}")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
