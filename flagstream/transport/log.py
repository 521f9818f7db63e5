"""The embedded log: topics, records and committed offsets in one RocksDB, for one process."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError
from rocksdict import WriteBatch

from flagstream.errors import LogError, LogFormatError, LogUnavailableError, SettingsError
from flagstream.ports import LogRecord

from . import layout, retention
from .layout import TopicMeta
from .partition import Line, Partition, Staged
from .rocks import Database

# Long enough for the records of some events to share a batch, short beside what a client waits.
LINGER_S = 0.002
RETRY_S = 0.5
RETENTION_INTERVAL_S = 60.0

logger = logging.getLogger(__name__)


class LogOptions(BaseModel):
    """
    How a log is kept; see :class:`flagstream.settings.Settings` for each.

    Attributes:
        retention_bytes: Of all topics together that are not compacted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: Path
    fsync: Literal["interval", "always", "never"] = "interval"
    fsync_interval_ms: int = 50
    retention_hours: float = 168
    retention_bytes: int = 10_737_418_240

    @classmethod
    def from_url(cls, url: str) -> "LogOptions":
        """
        Read ``embedded:///DIR?fsync=always``.

        Raises:
            SettingsError: Naming the part that is wrong.
        """
        parts = urlsplit(url)
        if parts.netloc or not parts.path.startswith("/"):
            raise SettingsError(f"{url}: expected embedded:///DIR with an absolute directory")
        options: dict[str, Any] = dict(parse_qsl(parts.query))
        try:
            return cls(directory=Path(unquote(parts.path)), **options)
        except ValidationError as error:
            raise SettingsError(f"{url}: {error}") from None


class NewRecord(NamedTuple):
    """A record to be appended."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None
    timestamp_ms: int


@dataclass(slots=True)
class _Request:
    """Somebody waits until these are written, and learns it if they cannot be."""

    future: asyncio.Future[list[int]]
    records: Sequence[NewRecord] = ()
    commits: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    offsets: list[int] = field(default_factory=list)


class _Posted(NamedTuple):
    """A record that is kept until it is written, whatever happens meanwhile."""

    line: Line
    written: Callable[[int], None] | None


@dataclass(slots=True)
class _Write:
    """All that goes into one batch."""

    posted: dict[Partition, list[_Posted]]
    requests: list[_Request]
    batch: WriteBatch
    staged: dict[Partition, Staged]


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
        self._posted: dict[Partition, list[_Posted]] = {}
        self._requests: list[_Request] = []
        self._listeners: dict[str, Callable[[int, int, int], None]] = {}
        self._watchers: set[asyncio.Event] = set()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._timers: dict[str, asyncio.TimerHandle | asyncio.Handle] = {}
        self._jobs: set[asyncio.Future[None]] = set()
        self._is_writing = False
        self._error: LogUnavailableError | None = None
        self._retention_is_due = False
        self._opened_ms = _now_ms()

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
        """Call *listener* with partition, last offset and number of the records written."""
        self._listeners[topic] = listener

    def committed(self, group: str, topic: str, partition: int) -> int | None:
        """Read the offset from which a group goes on; None where it never committed."""
        return self._committed.get((group, topic, partition))

    # -- writing

    @property
    def is_available(self) -> bool:
        """Tell whether the log takes writes."""
        return self._error is None

    def check_available(self) -> None:
        """
        Check that the log takes writes.

        Raises:
            LogUnavailableError: It does not.
        """
        if self._error is not None:
            raise LogUnavailableError(str(self._error))

    async def append(self, records: Sequence[NewRecord]) -> list[int]:
        """
        Append records and return their offsets once they are durable.

        Raises:
            LogUnavailableError: The log takes no writes now; none of the records is in it.
            LogError: There is no such partition.
        """
        for record in records:
            self.partition(record.topic, record.partition)
        return await self._request(records=records)

    async def commit(self, group: str, offsets: Mapping[Any, int]) -> None:
        """
        Commit the offsets from which *group* goes on, behind everything that was posted before.

        Raises:
            LogUnavailableError: The log takes no writes now; nothing is committed.
        """
        commits = {(group, topic, number): offset for (topic, number), offset in offsets.items()}
        await self._request(commits=commits)

    async def flush(self) -> None:
        """
        Wait until everything that was posted before is durable.

        Raises:
            LogUnavailableError: The log takes no writes now.
        """
        await self._request()

    async def _request(
        self,
        *,
        records: Sequence[NewRecord] = (),
        commits: Mapping[tuple[str, str, int], int] | None = None,
    ) -> list[int]:
        self.check_available()
        future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._requests.append(_Request(future, records, commits or {}))
        if "soon" not in self._timers:
            self._timers["soon"] = asyncio.get_running_loop().call_soon(self._flush)
        return await future

    def post(self, record: NewRecord, written: Callable[[int], None] | None = None) -> None:
        """
        Append a record without waiting: it is kept until it is written.

        Args:
            written: Called with the offset once the record is durable.
        """
        posted = _Posted(Line(*record[2:]), written)
        lines = self._posted.setdefault(self.partition(record.topic, record.partition), [])
        lines.append(posted)
        self._start_timer("linger", LINGER_S, self._flush)

    def _start_timer(self, name: str, delay_s: float, callback: Callable[[], None]) -> None:
        if name not in self._timers:
            self._timers[name] = asyncio.get_running_loop().call_later(delay_s, callback)

    def _stop_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _flush(self) -> None:
        self._stop_timer("soon")
        self._stop_timer("linger")
        if self._is_writing or self._error is not None:
            return
        if self._retention_is_due:
            self._retention_is_due = False
            self.retain(_now_ms())
        if not self._posted and not self._requests:
            return
        write = self._stage()
        if self.options.fsync == "always":
            self._is_writing = True
            job = partial(self._database.write, write.batch, sync=True)
            self._run_in_thread(job, partial(self._written, write))
            return
        try:
            self._database.write(write.batch)
        except LogUnavailableError as error:
            self._refuse(write, error)
        else:
            self._publish(write)
            if self.options.fsync == "interval":
                self._start_timer("sync", self.options.fsync_interval_ms / 1000, self._sync)

    def _stage(self) -> _Write:
        posted, self._posted = self._posted, {}
        requests, self._requests = self._requests, []
        lines = {partition: [p.line for p in waiting] for partition, waiting in posted.items()}
        batch = WriteBatch(raw_mode=True)
        for request in requests:
            for record in request.records:
                partition = self.partition(record.topic, record.partition)
                before = lines.setdefault(partition, [])
                request.offsets.append(partition.bounds.end + len(before))
                before.append(Line(*record[2:]))
            for key, offset in request.commits.items():
                batch.put(layout.committed_key(*key), layout.offset_bytes(offset))
        staged = {partition: partition.stage(batch, new) for partition, new in lines.items()}
        return _Write(posted, requests, batch, staged)

    def _run_in_thread(
        self, job: Callable[[], None], finish: Callable[[LogUnavailableError | None], None]
    ) -> None:
        def finished(future: asyncio.Future[None]) -> None:
            self._jobs.discard(future)
            error = future.exception()
            if error is not None and not isinstance(error, LogUnavailableError):
                raise error
            finish(error)

        future = asyncio.get_running_loop().run_in_executor(self._executor, job)
        self._jobs.add(future)
        future.add_done_callback(finished)

    def _written(self, write: _Write, error: LogUnavailableError | None) -> None:
        self._is_writing = False
        if error is None:
            self._publish(write)
            self._flush()
        else:
            self._refuse(write, error)

    def _refuse(self, write: _Write, error: LogUnavailableError) -> None:
        for partition, posted in write.posted.items():
            self._posted[partition] = posted + self._posted.get(partition, [])
        self._requests = write.requests + self._requests
        self._fail(error)

    def _publish(self, write: _Write) -> None:
        for partition, staged in write.staged.items():
            partition.publish(staged)
        for partition, posted in write.posted.items():
            self._tell(partition, posted, write.staged[partition].records)
        for request in write.requests:
            self._committed.update(request.commits)
            if not request.future.done():
                request.future.set_result(request.offsets)
        for event in self._watchers:
            event.set()
        self._start_timer("retention", RETENTION_INTERVAL_S, self._schedule_retention)

    def _tell(
        self, partition: Partition, posted: Sequence[_Posted], records: Sequence[LogRecord]
    ) -> None:
        for (_, written), record in zip(posted, records, strict=False):
            if written is not None:
                written(record.offset)
        listener = self._listeners.get(partition.topic)
        if listener is not None:
            listener(partition.number, records[len(posted) - 1].offset, len(posted))

    # -- upkeep

    def _sync(self) -> None:
        del self._timers["sync"]
        self._run_in_thread(self._database.sync, self._synced)

    def _synced(self, error: LogUnavailableError | None) -> None:
        if error is not None:
            self._fail(error)

    def _fail(self, error: LogUnavailableError) -> None:
        logger.error("The log takes no writes", extra={"reason": str(error)})
        self._error = error
        requests, self._requests = self._requests, []
        for request in requests:
            if not request.future.done():
                request.future.set_exception(LogUnavailableError(str(error)))
        self._start_timer("retry", RETRY_S, self._retry)

    def _retry(self) -> None:
        self._stop_timer("retry")
        if not self._jobs and self._database.recover():
            for partition in self._partitions.values():
                partition.reload()
            self._error = None
            logger.warning("The log takes writes again")
            self._flush()
        else:
            self._start_timer("retry", RETRY_S, self._retry)

    def _schedule_retention(self) -> None:
        del self._timers["retention"]
        self._retention_is_due = True
        self._flush()

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
            self._fail(error)
            return
        for partition, kept in bounds.items():
            partition.bounds = kept

    def _lowest_committed(self, partition: Partition) -> int | None:
        place = (partition.topic, partition.number)
        return min((at for key, at in self._committed.items() if key[1:] == place), default=None)

    async def close(self) -> None:
        """Write and sync what is left, then give the directory free."""
        try:
            await self.flush()
        except LogUnavailableError:
            logger.exception("The log stops without what it could not write")
        for name in tuple(self._timers):
            self._stop_timer(name)
        await asyncio.get_running_loop().run_in_executor(self._executor, self._database.sync)
        self._executor.shutdown()
        self._database.close()


def _check_same(name: str, known: TopicMeta, partitions: int, *, is_compacted: bool) -> None:
    if known.partitions != partitions:
        raise LogError(f"{name}: has {known.partitions} partitions, expected {partitions}")
    if known.is_compacted != is_compacted:
        raise LogError(f"{name}: is_compacted is {known.is_compacted}, expected {is_compacted}")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
