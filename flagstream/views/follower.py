"""Reads topics into a store, for as long as the process runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar

from flagstream.errors import LogError, ViewError
from flagstream.ports import LogReader, LogRecord, TopicPartition
from flagstream.telemetry import SKIPPED_RECORDS
from flagstream.topics import Table

from .store import Changes, ViewStore

logger = logging.getLogger(__name__)

_NAMES = {table.changelog: table.value for table in Table}
_SLICE_S = 0.001
# Nobody is answered before everything is read: longer slices cost less.
_CATCH_UP_SLICE_S = 0.02
_RETRY_S = 1.0
_TAIL_CHECK_S = 0.1


class Run(Protocol):
    """A run of records, to be written at once."""

    @property
    def changes(self) -> Changes:
        """New value by key, None to delete."""
        ...

    @property
    def positions(self) -> Mapping[TopicPartition, int]:
        """Next offset of each partition that had a record."""
        ...

    @property
    def skipped(self) -> Sequence[LogRecord]:
        """Records that could not be decoded."""
        ...

    def add(self, record: LogRecord) -> None:
        """Take one record in; one that cannot be decoded only moves the position."""
        ...


R = TypeVar("R", bound=Run)


class Follower(Generic[R]):
    """
    Writes every record of some topics into the store, a few milliseconds of work at a time.

    Attributes:
        caught_up: Set once everything is written that was in the log when it began.
        is_stuck: The store takes no writes at the moment, so that it grows old.
    """

    def __init__(
        self,
        store: ViewStore,
        reader: LogReader,
        topics: Sequence[str],
        new_run: Callable[[], R],
        publish: Callable[[R], Awaitable[None]],
        *,
        max_behind: int | None = None,
    ) -> None:
        """
        Prepare; :meth:`run` does the work.

        Args:
            publish: Called with everything that was written, before more is.
            max_behind: Begin at most so many records before the end of each partition.
        """
        self.caught_up = asyncio.Event()
        self.is_stuck = False
        self._store = store
        self._reader = reader
        self._topics = topics
        self._new_run = new_run
        self._publish = publish
        self._max_behind = max_behind
        self._positions: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}

    def is_followed(self, place: TopicPartition, end: int) -> bool:
        """Tell whether everything before *end* is in the store."""
        return self._positions.get(place, 0) >= end

    async def run(self) -> None:
        """Follow for ever."""
        await self._begin()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass_missing_tails())
            while True:
                try:
                    async for records in self._reader.follow(self._positions):
                        await self._apply(records)
                except LogError as error:
                    logger.warning("the log cannot be read", extra={"detail": str(error)})
                    await asyncio.sleep(_RETRY_S)

    async def _begin(self) -> None:
        bounds = await self._reader.bounds(self._topics)
        stored = self._store.positions()
        if any(offset > bounds.get(place, (0, 0))[1] for place, offset in stored.items()):
            # Another log, or one that lost its end: what the views hold never happened in it.
            logger.warning("views are ahead of the log and are rebuilt")
            await asyncio.to_thread(self._store.reset)
            stored = {}
        self._positions = {
            place: max(self._earliest(start, end), stored.get(place, start))
            for place, (start, end) in bounds.items()
        }
        self._ends = {place: end for place, (_, end) in bounds.items()}
        self._note_progress()

    def _earliest(self, start: int, end: int) -> int:
        return start if self._max_behind is None else max(start, end - self._max_behind)

    async def _pass_missing_tails(self) -> None:
        """Do not wait for what compaction has removed from the end of a partition."""
        while not self.caught_up.is_set():
            for place in list(self._ends):
                with suppress(LogError):
                    await self._pass_missing_tail(place)
            self._note_progress()
            await asyncio.sleep(_TAIL_CHECK_S)

    async def _pass_missing_tail(self, place: TopicPartition) -> None:
        position = self._positions[place]
        rest = await self._reader.read(place, position, 1)
        if not rest and position == self._positions[place] and place in self._ends:
            self._positions[place] = self._ends.pop(place)

    def _note_progress(self) -> None:
        reached = [place for place, end in self._ends.items() if self._positions[place] >= end]
        for place in reached:
            del self._ends[place]
        if not self._ends:
            self.caught_up.set()

    async def _apply(self, records: Sequence[LogRecord]) -> None:
        pending = iter(records)
        while (run := self._take(pending)).positions:
            await self._write(run)
            await self._publish(run)
            self._positions.update(run.positions)
            self._note_progress()
            await asyncio.sleep(0)

    def _take(self, pending: Iterator[LogRecord]) -> R:
        """Take as many records as fit into a slice of time, at least one."""
        run = self._new_run()
        slice_s = _SLICE_S if self.caught_up.is_set() else _CATCH_UP_SLICE_S
        deadline = perf_counter() + slice_s
        for record in pending:
            run.add(record)
            if perf_counter() > deadline:
                break
        return run

    async def _write(self, run: R) -> None:
        if run.skipped:
            first = run.skipped[0]
            position = f"{first.topic}/{first.partition}/{first.offset}"
            logger.error(
                "records cannot be decoded",
                extra={"first": position, "count": len(run.skipped)},
            )
            for record in run.skipped:
                SKIPPED_RECORDS.labels(_NAMES.get(record.topic, record.topic)).inc()
        while True:
            try:
                self._store.write(run.changes, run.positions)
            except ViewError as error:
                logger.warning("views take no writes", extra={"detail": str(error)})
                self.is_stuck = True
                await asyncio.sleep(_RETRY_S)
                self._store.recover()
            else:
                self.is_stuck = False
                return


class Following:
    """The task of a follower, from its start to its end."""

    def __init__(self, follower: Follower[Any], name: str) -> None:
        self._follower = follower
        self._name = name
        self._task: asyncio.Task[None] | None = None

    def start(self, at_end: Callable[[asyncio.Task[None]], object]) -> None:
        """
        Begin.

        Args:
            at_end: Called with the task when it is over.
        """
        self._task = asyncio.create_task(self._follower.run(), name=self._name)
        self._task.add_done_callback(at_end)

    async def ready(self) -> None:
        """Wait until everything is written that was in the log at the start."""
        assert self._task is not None, "start() comes first"  # noqa: S101 -- for the reader
        caught_up = asyncio.create_task(self._follower.caught_up.wait())
        await asyncio.wait({caught_up, self._task}, return_when=asyncio.FIRST_COMPLETED)
        caught_up.cancel()
        if self._task.done():
            await self._task

    @property
    def is_ready(self) -> bool:
        """Whether the store is complete, followed, and takes what follows."""
        is_running = self._task is not None and not self._task.done()
        return is_running and self._follower.caught_up.is_set() and not self._follower.is_stuck

    async def stop(self) -> None:
        """End."""
        await ended(self._task)


async def ended(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait until it is over."""
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


def has_failed(task: asyncio.Task[None]) -> bool:
    """Tell whether a task that is over has ended by an error, and log that."""
    if task.cancelled() or task.exception() is None:
        return False
    logger.critical("%s has ended", task.get_name(), exc_info=task.exception())
    return True
