"""Reads the changelogs of all tables into the views."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from time import perf_counter

from flagstream.errors import LogError, ViewError
from flagstream.ports import LogReader, LogRecord, TopicPartition
from flagstream.telemetry import SKIPPED_RECORDS

from .merging import TABLES, Merge
from .store import ViewStore

logger = logging.getLogger(__name__)

_SLICE_S = 0.001
# Nobody is answered before everything is read: longer slices cost less.
_CATCH_UP_SLICE_S = 0.02
_RETRY_S = 1.0
_TAIL_CHECK_S = 0.1


class Follower:
    """
    Merges every changelog record into the store, a few milliseconds of work at a time.

    Attributes:
        caught_up: Set once everything is merged that was in the log when it began.
        is_stuck: The store takes no writes at the moment, so the views grow old.
    """

    def __init__(
        self, store: ViewStore, reader: LogReader, publish: Callable[[Merge], Awaitable[None]]
    ) -> None:
        """
        Prepare; :meth:`run` does the work.

        Args:
            publish: Called with everything that was written, before more is.
        """
        self.caught_up = asyncio.Event()
        self.is_stuck = False
        self._store = store
        self._reader = reader
        self._publish = publish
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
                    logger.warning("changelogs cannot be read", extra={"detail": str(error)})
                    await asyncio.sleep(_RETRY_S)

    async def _begin(self) -> None:
        bounds = await self._reader.bounds(list(TABLES))
        stored = self._store.positions()
        if any(offset > bounds.get(place, (0, 0))[1] for place, offset in stored.items()):
            # Another log, or one that lost its end: what the views hold never happened in it.
            logger.warning("views are ahead of the log and are rebuilt")
            await asyncio.to_thread(self._store.reset)
            stored = {}
        self._positions = {
            place: max(start, stored.get(place, start)) for place, (start, _) in bounds.items()
        }
        self._ends = {place: end for place, (_, end) in bounds.items()}
        self._note_progress()

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
        while (merge := self._merge(pending)).positions:
            await self._write(merge)
            await self._publish(merge)
            self._positions.update(merge.positions)
            self._note_progress()
            await asyncio.sleep(0)

    def _merge(self, pending: Iterator[LogRecord]) -> Merge:
        """Merge as many records as fit into a slice of time, at least one."""
        merge = Merge(self._store.get)
        slice_s = _SLICE_S if self.caught_up.is_set() else _CATCH_UP_SLICE_S
        deadline = perf_counter() + slice_s
        for record in pending:
            merge.add(record)
            if perf_counter() > deadline:
                break
        return merge

    async def _write(self, merge: Merge) -> None:
        if merge.skipped:
            first = merge.skipped[0]
            position = f"{first.topic}/{first.partition}/{first.offset}"
            logger.error(
                "changelog records cannot be decoded",
                extra={"first": position, "count": len(merge.skipped)},
            )
            for record in merge.skipped:
                SKIPPED_RECORDS.labels(TABLES[record.topic].value).inc()
        while True:
            try:
                self._store.write(merge.changes, merge.positions)
            except ViewError as error:
                logger.warning("views take no writes", extra={"detail": str(error)})
                self.is_stuck = True
                await asyncio.sleep(_RETRY_S)
                self._store.recover()
            else:
                self.is_stuck = False
                return
