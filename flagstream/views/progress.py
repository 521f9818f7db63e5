"""How far agents and views are behind the log: what waits for a change, and what sheds load."""

import asyncio
import math
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple, Self

from flagstream.errors import OverloadedError, UnavailableError
from flagstream.ports import Position, TopicPartition
from flagstream.settings import Settings
from flagstream.topics import Table, epoch_of, offset_of, version_of

from .elsewhere import Elsewhere
from .freshness import Freshness

_TABLES = {table.source.value: table for table in Table}
_MAX_RETRY_AFTER_S = 30
# The first record of a log has version 0.
_NO_VERSION = -1
_SAMPLE_MS = 50  # how exactly the age of a backlog is known


class _Sample(NamedTuple):
    """When the log went on behind a place."""

    end: int
    time_ms: int


class Marks(NamedTuple):
    """
    How far one partition of a source topic is.

    Every member only grows, so marks are joined by taking the higher of each.

    Attributes:
        appended: Next offset to be written.
        folded: Next offset to be folded.
        changed: Version that was written to the table last.
        applied: Highest version in the views.
    """

    topic: str
    partition: int
    appended: int
    folded: int
    changed: int
    applied: int


class _Waiter(NamedTuple):
    mark: int
    number: int
    future: asyncio.Future[None]


@dataclass(slots=True)
class _Partition:
    """
    One partition of a source topic; every member only grows.

    Attributes:
        appended: Next offset to be written.
        folded: Next offset to be folded.
        epoch: In which these offsets count.
        oldest_ms: A time before which nothing is left to be folded.
        samples: Of how *appended* moved, those that are not folded yet.
        changed: Version that was written to the table last.
        applied: Highest version in the views.
        unfolded: Who waits for an offset to be folded.
        unapplied: Who waits for a version to be applied.
        freshness: Of what is not visible yet.
    """

    appended: int = 0
    folded: int = 0
    epoch: int = 0
    oldest_ms: int = 0
    samples: deque[_Sample] = field(default_factory=deque[_Sample])
    changed: int = _NO_VERSION
    applied: int = _NO_VERSION
    unfolded: list[_Waiter] = field(default_factory=list)
    unapplied: list[_Waiter] = field(default_factory=list)
    freshness: Freshness = field(default_factory=Freshness)

    @property
    def lag(self) -> int:
        return self.appended - self.folded

    def needed(self, offset: int) -> int:
        """
        Find the version that the views must have so that a folded offset shows.

        Its own version is enough where later changes are still under way.
        """
        return min(self.changed, version_of(epoch_of(self.changed), offset))

    def is_visible(self, offset: int) -> bool:
        """Tell whether the views have what follows from an offset."""
        return offset < self.folded and self.needed(offset) <= self.applied


class Watermarks:
    """
    The marks of every source partition, moved by capture, agents and the follower.

    A change is visible once its record was folded and the version that its partition had then is
    in the views. Nothing is polled. Records of topics without a table change no state: they are
    always visible and are not counted.

    The agents of this process report to it. Where workers of other processes fold as well, what
    is in the views tells that it was folded; :class:`.peers.Peers` finds out about the rest.
    """

    def __init__(
        self,
        *,
        max_lag_changes: int,
        max_lag_s: float,
        has_peers: bool = False,
        has_views: bool = True,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._max_lag_changes = max_lag_changes
        self._max_lag_s = max_lag_s
        self._has_peers = has_peers
        self._has_views = has_views
        self._clock_ms = clock_ms
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._lagging: set[TopicPartition] = set()
        self._lag_changes = 0
        self._waiters = 0
        self._is_open = False
        self._elsewhere = Elsewhere(self.is_visible)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Make those of a process; on Kafka it is one of several."""
        has_peers = bool(settings.broker_url)
        return cls(
            max_lag_changes=settings.max_lag_changes,
            max_lag_s=settings.kafka_max_lag_s if has_peers else settings.max_lag_s,
            has_peers=has_peers,
            has_views=settings.role != "worker",
        )

    def begin(
        self,
        bounds: Mapping[TopicPartition, tuple[int, int]],
        committed: Mapping[TopicPartition, int],
        epoch: Callable[[str], int],
    ) -> None:
        """
        Set where the agents start.

        Args:
            bounds: First and next offset of the partitions of all source topics.
            committed: Next offset to be folded, where any was committed.
            epoch: Of a source topic, the present one.
        """
        for place, (start, end) in bounds.items():
            if place.topic in _TABLES:
                self._marks(place).epoch = epoch(place.topic)
                folded = min(max(committed.get(place, start), start), end)
                self._move(place, folded=folded, appended=end)

    def open(self) -> None:
        """Let requests in from now on."""
        self._is_open = True

    def close(self) -> None:
        """Refuse all requests from now on."""
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether requests are let in."""
        return self._is_open

    def appended(self, positions: Iterable[Position]) -> None:
        """Note records that this process has written."""
        now_s = monotonic()
        for topic, partition, offset in positions:
            if topic in _TABLES:
                place = TopicPartition(topic, partition)
                self._move(place, appended=offset + 1)
                if self._has_views:
                    self._partitions[place].freshness.begin(offset, now_s, is_own=True)

    def landed(self, key: bytes, position: Position) -> None:
        """Note a record that another process has written and that changes what is under *key*."""
        self._elsewhere.landed(key, position)

    def is_settled(self, topic: str, key: bytes) -> bool:
        """Tell whether the views show what other processes are known to have written to a key."""
        return self._elsewhere.is_settled(topic, key)

    def ends(self, ends: Mapping[TopicPartition, int]) -> None:
        """Note where the log ends, whoever wrote it."""
        now_s = monotonic()
        for place, end in ends.items():
            if place.topic in _TABLES:
                self._move(place, appended=end)
                self._wait(place, end - 1, now_s)

    def folded(self, topic: str, partition: int, offset: int, changed_version: int | None) -> None:
        """
        Note a record that was folded.

        Args:
            changed_version: Of the state that was written to the table; None where nothing was,
                or where the state was deleted.
        """
        if topic not in _TABLES:
            return
        place = TopicPartition(topic, partition)
        marks = self._marks(place)
        marks.changed = max(
            marks.changed, _NO_VERSION if changed_version is None else changed_version
        )
        self._fold(place, offset + 1)

    def applied(self, table: Table, partition: int, version: int) -> None:
        """Note the highest state version of a changelog partition that is in the views."""
        place = TopicPartition(table.source.value, partition)
        marks = self._marks(place)
        self._apply(marks, version)
        # A version of an older epoch is of other offsets.
        if self._has_peers and epoch_of(version) == marks.epoch:
            self._fold(place, offset_of(version) + 1)

    def settled(self, place: TopicPartition, offset: int) -> None:
        """Note that everything before *offset* was folded, and is in the views."""
        self._fold(place, offset)

    def marks(self, places: Iterable[TopicPartition] | None = None) -> Sequence[Marks]:
        """Read the marks of *places*, or of all that there are."""
        return [
            Marks(*place, marks.appended, marks.folded, marks.changed, marks.applied)
            for place in (self._partitions if places is None else places)
            if (marks := self._partitions.get(place)) is not None
        ]

    def join(self, all_marks: Iterable[Marks]) -> None:
        """Take over marks of the process that folds, once its views can be read as far."""
        for topic, partition, appended, folded, changed, applied in all_marks:
            place = TopicPartition(topic, partition)
            marks = self._marks(place)
            marks.changed = max(marks.changed, changed)
            self._move(place, appended=appended)
            self._wait(place, appended - 1, monotonic())
            self._fold(place, folded)
            self._apply(marks, applied)

    def unsettled(self) -> Mapping[TopicPartition, int]:
        """Collect the partitions that lag or are waited for, with the next offset to be folded."""
        waited_for = {place for place, marks in self._partitions.items() if marks.unfolded}
        return {place: self._partitions[place].folded for place in self._lagging | waited_for}

    def is_visible(self, position: Position) -> bool:
        """Tell whether the state that follows from this record is in the views."""
        if position.topic not in _TABLES:
            return True
        return self._marks(position.topic_partition).is_visible(position.offset)

    async def wait_visible(self, positions: Sequence[Position], timeout_s: float) -> bool:
        """Wait until all are visible; False once *timeout_s* has passed."""
        hidden = [position for position in positions if not self.is_visible(position)]
        if not hidden:
            return True
        futures = [self._waiter(position) for position in hidden]
        try:
            # Not every event loop takes an infinite time.
            timeout = None if math.isinf(timeout_s) else timeout_s
            _, pending = await asyncio.wait(futures, timeout=timeout)
        finally:
            for position, future in zip(hidden, futures, strict=True):
                if not future.done():
                    self._forget(position.topic_partition, future)
        return not pending

    def admit(self) -> None:
        """
        Let one capture request in.

        Raises:
            OverloadedError: The agents lag too far behind.
            UnavailableError: The server is recovering or stopping.
        """
        if not self._is_open:
            raise UnavailableError("The server is starting or stopping.", retry_after_s=1)
        if not self._lagging:
            return
        lag_s = self.lag_s
        if self._lag_changes > self._max_lag_changes or lag_s > self._max_lag_s:
            raise OverloadedError(
                "More is coming in than can be processed.",
                retry_after_s=min(max(math.ceil(lag_s), 1), _MAX_RETRY_AFTER_S),
            )

    @property
    def lag_changes(self) -> int:
        """Records that were written and not yet folded."""
        return self._lag_changes

    @property
    def lag_s(self) -> float:
        """Age of the oldest record that is not folded yet, at most; 0 without any."""
        if not self._lagging:
            return 0.0
        oldest_ms = min(self._partitions[place].oldest_ms for place in self._lagging)
        return max(self._clock_ms() - oldest_ms, 0) / 1000

    def lags(self) -> Mapping[Table, tuple[int, float]]:
        """Tell the same by table: records, and the age of the oldest."""
        now_ms = self._clock_ms()
        lags: dict[Table, tuple[int, float]] = dict.fromkeys(Table, (0, 0.0))
        for place in self._lagging:
            marks, table = self._partitions[place], _TABLES[place.topic]
            changes, oldest_s = lags[table]
            age_s = max(now_ms - marks.oldest_ms, 0) / 1000
            lags[table] = changes + marks.lag, max(oldest_s, age_s)
        return lags

    @property
    def view_age_s(self) -> float:
        """Time since the oldest change came that is not visible yet; 0 without any."""
        pending = [m.freshness.pending for m in self._partitions.values() if m.freshness.pending]
        oldest_s = min((each[0].since_s for each in pending), default=None)
        return 0.0 if oldest_s is None else monotonic() - oldest_s

    def _wait(self, place: TopicPartition, offset: int, now_s: float) -> None:
        """Note what others have written, unless it has come as far already."""
        marks = self._partitions[place]
        if self._has_views and not marks.is_visible(offset):
            marks.freshness.begin(offset, now_s, is_own=False)

    def _marks(self, place: TopicPartition) -> _Partition:
        return self._partitions.setdefault(place, _Partition())

    def _fold(self, place: TopicPartition, folded: int) -> None:
        self._move(place, folded=folded)
        marks = self._partitions[place]
        for waiter in _passed(marks.unfolded, folded - 1):
            if marks.changed <= marks.applied:
                _wake(waiter)
            else:
                insort(marks.unapplied, waiter._replace(mark=marks.changed))
        # Otherwise it waits for the views, which will tell.
        if marks.changed <= marks.applied and marks.freshness.pending:
            marks.freshness.end(marks.is_visible)

    def _apply(self, marks: _Partition, version: int) -> None:
        marks.applied = max(marks.applied, version)
        for waiter in _passed(marks.unapplied, marks.applied):
            _wake(waiter)
        if marks.freshness.pending:
            marks.freshness.end(marks.is_visible)

    def _move(self, place: TopicPartition, *, folded: int = 0, appended: int = 0) -> None:
        marks = self._marks(place)
        lag, end = marks.lag, marks.appended
        marks.folded = max(marks.folded, folded)
        marks.appended = max(end, appended, marks.folded)
        self._lag_changes += marks.lag - lag
        if not marks.lag:
            self._lagging.discard(place)
            marks.samples.clear()
        elif not lag:
            self._lagging.add(place)
            marks.oldest_ms = self._clock_ms()
        elif marks.appended > end:
            self._sample(marks, end)
        while marks.samples and marks.samples[0].end <= marks.folded:
            marks.oldest_ms = marks.samples.popleft().time_ms

    def _sample(self, marks: _Partition, end: int) -> None:
        # Not by the records' own times, which are of other machines' clocks.
        newest_ms = marks.samples[-1].time_ms if marks.samples else marks.oldest_ms
        now_ms = self._clock_ms()
        if now_ms >= newest_ms + _SAMPLE_MS:
            marks.samples.append(_Sample(end, now_ms))

    def _waiter(self, position: Position) -> asyncio.Future[None]:
        marks = self._marks(position.topic_partition)
        future = asyncio.get_running_loop().create_future()
        self._waiters += 1
        if position.offset < marks.folded:
            needed = marks.needed(position.offset)
            insort(marks.unapplied, _Waiter(needed, self._waiters, future))
        else:
            insort(marks.unfolded, _Waiter(position.offset, self._waiters, future))
        return future

    def _forget(self, place: TopicPartition, future: asyncio.Future[None]) -> None:
        marks = self._partitions[place]
        for waiters in (marks.unfolded, marks.unapplied):
            waiters[:] = [waiter for waiter in waiters if waiter.future is not future]


def _passed(waiters: list[_Waiter], mark: int) -> Sequence[_Waiter]:
    """Take out who waits for *mark* or less."""
    count = 0
    while count < len(waiters) and waiters[count].mark <= mark:
        count += 1
    passed = waiters[:count]
    del waiters[:count]
    return passed


def _wake(waiter: _Waiter) -> None:
    if not waiter.future.done():
        waiter.future.set_result(None)
