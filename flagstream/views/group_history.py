"""Keeps how groups were: follows their updates in the log, and forgets what is too old."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from flagstream.errors import RecordError, UnavailableError, ViewError
from flagstream.ports import LogReader, LogRecord, TopicPartition
from flagstream.settings import Settings
from flagstream.slices import in_slices
from flagstream.state.groups import GroupUpdate
from flagstream.state.kept import STATE_EVERY, Beginning, Entry, KeptUpdate, as_kept, folded
from flagstream.state.merge import REDUCERS
from flagstream.topics import Table, Topic, version_of

from .follower import Follower, Following, ended, has_failed
from .kept_groups import (
    END,
    READY,
    KeptGroups,
    beginning_key,
    beginnings,
    entries_of,
    folded_up_to,
    kept_options,
    kept_path,
    moment,
    moment_of,
    trimmed,
)
from .store import ViewReader, ViewStore

logger = logging.getLogger(__name__)

_DAY_MS = 86_400_000
_TRIM_INTERVAL_S = 6 * 3_600
_RETRY_S = 60.0
_MAX_TAILS = 10_000
_check_key = REDUCERS[Table.GROUPS].check_key


@dataclass(slots=True)
class _Tail:
    """
    The end of what is kept of a group.

    Attributes:
        since: As the last update has it.
        pending: What is not written yet.
    """

    time_ms: int
    version: int
    since: int
    pending: list[Entry] = field(default_factory=list[Entry])


Tails = dict[bytes, _Tail]


@dataclass(slots=True)
class KeptRun:
    """
    A run of updates, ready to be written at once, as :class:`.merging.Merge` of changelogs.

    Attributes:
        tails: Of the groups that had updates lately, which need not be looked for.
    """

    store: ViewReader
    epoch: int
    tails: Tails = field(default_factory=dict[bytes, _Tail])
    changes: dict[bytes, bytes | None] = field(default_factory=dict)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    # What cannot be decoded is a dead letter, of which the agents tell.
    skipped: list[LogRecord] = field(default_factory=list)
    _touched: list[_Tail] = field(default_factory=list[_Tail])

    def add(self, record: LogRecord) -> None:
        """Keep one update; one that cannot be decoded only moves the position."""
        self.positions[TopicPartition(record.topic, record.partition)] = record.offset + 1
        with suppress(RecordError):
            _check_key(record.key)
            self._keep(record, GroupUpdate.from_bytes(record.value or b""))

    def _keep(self, record: LogRecord, update: GroupUpdate) -> None:
        prefix, version = entries_of(record.key), version_of(self.epoch, record.offset)
        tail = self.tails.get(prefix)
        if tail is None:
            tail = self.tails[prefix] = self._tail(prefix)
        if version <= tail.version:
            return
        # Clocks may go back, and brokers have several; what comes later is not told as earlier.
        tail.time_ms, tail.version = max(record.timestamp_ms, tail.time_ms), version
        tail.since += 1
        kept = KeptUpdate(update=update, since=tail.since)
        if tail.since >= STATE_EVERY:
            before = folded(tail.pending, folded_up_to(self.store, prefix, END))
            state = folded([(version, kept)], before)
            kept = KeptUpdate(update=update, state=None if state is None else as_kept(state))
            tail.since = 0
        if not tail.pending:
            self._touched.append(tail)
        tail.pending.append((version, kept))
        self.changes[prefix + moment(tail.time_ms, version)] = kept.to_bytes()

    def settle(self) -> None:
        """Note that everything is written; of very many tails none are remembered."""
        for tail in self._touched:
            tail.pending.clear()
        if len(self.tails) > _MAX_TAILS:
            self.tails.clear()

    def _tail(self, prefix: bytes) -> _Tail:
        last = self.store.before(prefix, END)
        if last is None:
            return _Tail(0, -1, 0)
        return _Tail(*moment_of(last[0]), KeptUpdate.from_bytes(last[1]).since)


class _KeptFollower(Follower[KeptRun]):
    """Follows the updates of groups without a gap, or begins anew."""

    def __init__(
        self, store: ViewStore, reader: LogReader, epoch: int, clock_ms: Callable[[], int]
    ) -> None:
        topics = [Topic.GROUP_UPDATES.value]
        tails: Tails = {}
        super().__init__(store, reader, topics, lambda: KeptRun(store, epoch, tails), _settle)
        self._epoch = epoch
        self._clock_ms = clock_ms

    async def _begin(self) -> None:
        bounds = await self._reader.bounds(self._topics)
        if not self._goes_on(bounds):
            await asyncio.to_thread(self._store.reset)
            found = {
                beginning_key(place.partition): (await self._beginning(place, start)).to_bytes()
                for place, (start, _) in bounds.items()
            }
            self._store.write(found, {})
        await super()._begin()

    def _goes_on(self, bounds: Mapping[TopicPartition, tuple[int, int]]) -> bool:
        """Tell whether the log still has all that follows what is kept."""
        known, positions = beginnings(self._store), self._store.positions()
        if known.keys() != {place.partition for place in bounds}:
            return False
        for place, (start, end) in bounds.items():
            begun = known[place.partition].version - version_of(self._epoch, 0)
            if not start <= positions.get(place, begun) <= end:
                return False
        return True

    async def _beginning(self, place: TopicPartition, start: int) -> Beginning:
        first = await self._reader.read(place, start, 1)
        return Beginning(
            version=version_of(self._epoch, start),
            time_ms=first[0].timestamp_ms if first else self._clock_ms(),
            is_whole=start == 0 and self._epoch == 0,
        )


class KeptHistory:
    """
    The kept history of a process.

    Attributes:
        groups: Implements :class:`flagstream.ports.GroupHistory`.
    """

    def __init__(
        self,
        settings: Settings,
        reader: LogReader,
        store: ViewStore,
        *,
        epoch: int,
        clock_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._history_ms = round(settings.history_days * _DAY_MS)
        self._clock_ms = clock_ms
        follower = _KeptFollower(store, reader, epoch, clock_ms)
        self._following = Following(follower, "history-follower")
        self._keeping: asyncio.Task[None] | None = None
        self.groups = KeptGroups(
            store,
            history_days=settings.history_days,
            is_ready=lambda: self._following.is_ready,
            clock_ms=clock_ms,
        )

    @classmethod
    async def open(
        cls,
        settings: Settings,
        reader: LogReader,
        epoch: Callable[[str], int],
        clock_ms: Callable[[], int],
    ) -> Self:
        """
        Open the directory.

        Raises:
            LogLockedError: Another process holds it.
            ViewError: It cannot be opened: disk full or not writable.
        """
        store = await asyncio.to_thread(ViewStore, kept_path(settings), kept_options)
        of_topic = epoch(Topic.GROUP_UPDATES.value)
        return cls(settings, reader, store, epoch=of_topic, clock_ms=clock_ms)

    def start(self) -> None:
        """Begin to follow, and to forget."""
        # What an earlier process has left is not whole: the log may have gone on.
        self._write({READY: None})
        self._following.start(self._followed)
        self._keeping = asyncio.create_task(self._keep(), name="history-keeper")
        self._keeping.add_done_callback(has_failed)

    async def ready(self) -> None:
        """Wait until everything is kept that was in the log at the start."""
        await self._following.ready()

    async def stop(self) -> None:
        """Stop following, and close."""
        await ended(self._keeping)
        await self._following.stop()
        self._store.close()

    def _followed(self, task: asyncio.Task[None]) -> None:
        if has_failed(task):
            self._write({READY: None})

    async def _keep(self) -> None:
        await self._following.ready()
        while True:
            pause_s = _TRIM_INTERVAL_S if await self._tended() else _RETRY_S
            await asyncio.sleep(pause_s)

    async def _tended(self) -> bool:
        """Forget what is too old; False where storage does not let that be now."""
        if not self._following.is_ready:
            return False
        oldest_ms = self._clock_ms() - self._history_ms
        try:
            # For other processes that read it.
            self._store.write({READY: b""}, {})
            dropped = await in_slices(trimmed(self._store, self._write, oldest_ms))
        except (UnavailableError, ViewError):
            return False
        if dropped:
            logger.info("old updates of groups are forgotten", extra={"count": dropped})
        return True

    def _write(self, changes: Mapping[bytes, bytes | None]) -> None:
        # The next round finds again what storage does not take now.
        with suppress(ViewError):
            self._store.write(changes, {})


async def _settle(run: KeptRun) -> None:
    """Publish nothing: who asks reads the store."""
    run.settle()
