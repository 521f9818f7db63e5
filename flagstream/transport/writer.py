"""How the log is written: what comes in one turn of the event loop goes out in one batch."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from rocksdict import WriteBatch

from flagstream.errors import LogUnavailableError
from flagstream.telemetry import LOG_FAILURES

from . import layout
from .options import LogOptions
from .partition import Line, Partition, Staged
from .rocks import Database

# Long enough for the records of some events to share a batch, short beside what a client waits.
LINGER_S = 0.002
RETRY_S = 0.5

logger = logging.getLogger(__name__)

Commits = Mapping[tuple[str, str, int], int]


@dataclass(slots=True)
class Request:
    """
    What somebody waits for, and learns if it cannot be written.

    Attributes:
        commits: Offset by group, topic and partition.
        offsets: Of *lines*, known once they are staged.
    """

    lines: Sequence[tuple[Partition, Line]] = ()
    commits: Commits = field(default_factory=dict)
    offsets: list[int] = field(default_factory=list)
    future: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def finish(self, error: LogUnavailableError | None = None) -> None:
        """Tell who waits, unless that one has gone."""
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(LogUnavailableError(str(error)))


class Posted(NamedTuple):
    """A record that is kept until it is written; *written* then gets its offset."""

    line: Line
    written: Callable[[int], None] | None


@dataclass(slots=True)
class Write:
    """All that goes into one batch."""

    posted: Mapping[Partition, list[Posted]]
    requests: Sequence[Request]
    batch: WriteBatch
    staged: Mapping[Partition, Staged]


class Writer:
    """
    Writes batches one after the other, as durable as the options say.

    A write that fails refuses everybody who waits for it, and everybody who comes, until the
    database could be opened again, which is tried by itself; posted records wait for that.
    """

    def __init__(
        self,
        database: Database,
        options: LogOptions,
        *,
        published: Callable[[Write], None],
        recovered: Callable[[], None],
    ) -> None:
        self._database = database
        self._options = options
        self._published = published
        self._recovered = recovered
        self._posted: dict[Partition, list[Posted]] = {}
        self._requests: list[Request] = []
        self._between: list[Callable[[], None]] = []
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._jobs: set[asyncio.Future[None]] = set()
        self._timers: dict[str, asyncio.Handle] = {}
        self._is_writing = False
        self._error: LogUnavailableError | None = None

    @property
    def is_available(self) -> bool:
        """Tell whether writes are taken."""
        return self._error is None

    def check_available(self) -> None:
        """
        Check that writes are taken.

        Raises:
            LogUnavailableError: They are not.
        """
        if self._error is not None:
            raise LogUnavailableError(str(self._error))

    async def request(self, request: Request) -> None:
        """
        Write, behind everything that was posted before, and return once that is durable.

        Raises:
            LogUnavailableError: Nothing of the request is written.
        """
        self.check_available()
        self._requests.append(request)
        self._soon()
        await request.future

    def post(self, partition: Partition, posted: Posted) -> None:
        """Write before long."""
        self._posted.setdefault(partition, []).append(posted)
        self._later("linger", LINGER_S, self._flush)

    def between(self, callback: Callable[[], None]) -> None:
        """Call *callback* when no write is under way."""
        self._between.append(callback)
        self._soon()

    async def beside(self, job: Callable[[], None]) -> None:
        """Do something in a thread during which the database is not opened again."""
        future = asyncio.get_running_loop().run_in_executor(None, job)
        self._jobs.add(future)
        future.add_done_callback(self._jobs.discard)
        await asyncio.shield(future)

    def _soon(self) -> None:
        if "soon" not in self._timers:
            self._timers["soon"] = asyncio.get_running_loop().call_soon(self._flush)

    def _later(self, name: str, delay_s: float, callback: Callable[[], None]) -> None:
        if name not in self._timers:
            self._timers[name] = asyncio.get_running_loop().call_later(delay_s, callback)

    def _stop_timers(self, names: Iterable[str]) -> None:
        for name in names:
            timer = self._timers.pop(name, None)
            if timer is not None:
                timer.cancel()

    # -- batches

    def _flush(self) -> None:
        self._stop_timers(("soon", "linger"))
        if self._is_writing or self._error is not None:
            return
        while self._between:
            self._between.pop()()
        if not self._posted and not self._requests:
            return
        try:
            self._write(self._stage())
        except LogUnavailableError as error:
            self.fail(error)

    def _stage(self) -> Write:
        lines = {partition: [p.line for p in posted] for partition, posted in self._posted.items()}
        batch = WriteBatch(raw_mode=True)
        for request in self._requests:
            request.offsets.clear()
            for partition, line in request.lines:
                before = lines.setdefault(partition, [])
                request.offsets.append(partition.bounds.end + len(before))
                before.append(line)
            for key, offset in request.commits.items():
                batch.put(layout.committed_key(*key), layout.offset_bytes(offset))
        staged = {partition: partition.stage(batch, new) for partition, new in lines.items()}
        return Write(self._posted, self._requests, batch, staged)

    def _write(self, write: Write) -> None:
        if self._options.fsync == "always":
            self._is_writing = True
            self._posted, self._requests = {}, []
            job = partial(self._database.write, write.batch, sync=True)
            self._run_in_thread(job, partial(self._written, write))
            return
        self._database.write(write.batch)
        self._posted, self._requests = {}, []
        self._publish(write)
        if self._options.fsync == "interval":
            self._later("sync", self._options.fsync_interval_ms / 1000, self._sync)

    def _written(self, write: Write, error: LogUnavailableError | None) -> None:
        self._is_writing = False
        if error is None:
            self._publish(write)
            self._flush()
            return
        for partition, posted in write.posted.items():
            self._posted[partition] = posted + self._posted.get(partition, [])
        self._requests = [*write.requests, *self._requests]
        self.fail(error)

    def _publish(self, write: Write) -> None:
        for partition, staged in write.staged.items():
            partition.publish(staged)
        for partition, posted in write.posted.items():
            for (_, written), record in zip(posted, write.staged[partition].records, strict=False):
                if written is not None:
                    written(record.offset)
        self._published(write)
        for request in write.requests:
            request.finish()

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

    def _sync(self) -> None:
        self._stop_timers(("sync",))
        self._run_in_thread(self._database.sync, self._synced)

    def _synced(self, error: LogUnavailableError | None) -> None:
        if error is not None:
            self.fail(error)

    # -- a full disk

    def fail(self, error: LogUnavailableError) -> None:
        """Refuse everybody who waits, and everybody who comes, until the disk has room again."""
        logger.error("The log takes no writes", extra={"reason": str(error)})
        LOG_FAILURES.inc()
        self._error = error
        requests, self._requests = self._requests, []
        for request in requests:
            request.finish(error)
        self._later("retry", RETRY_S, self._retry)

    def _retry(self) -> None:
        self._stop_timers(("retry",))
        if not self._jobs and self._database.recover():
            self._error = None
            self._recovered()
            logger.warning("The log takes writes again")
            self._flush()
        else:
            self._later("retry", RETRY_S, self._retry)

    async def close(self) -> None:
        """Write and sync what is left."""
        try:
            await self.request(Request())
            await asyncio.get_running_loop().run_in_executor(self._executor, self._database.sync)
        except LogUnavailableError:
            logger.exception("The log stops without what it could not write")
        self._stop_timers(tuple(self._timers))
        self._executor.shutdown()
