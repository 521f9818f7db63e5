"""
What was cut, dropped or refused: counted here, kept in the log, read back from all processes.

A flood of bad events must not become one of records, so each process writes what it has counted:
five seconds after the first of a kind in a project, and then at most once a minute. What a killed
process has not written is lost; only counts and samples are.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from flagstream.errors import LogUnavailableError, RecordError
from flagstream.ports import (
    Append,
    IngestionWarning,
    RecordSink,
    TopicPartition,
    TopicReader,
    WarningSummary,
)
from flagstream.scan import scan
from flagstream.state.ingestion_warnings import WarningCounts, WarningSample
from flagstream.telemetry import INGESTION_WARNINGS
from flagstream.topics import Topic, partition_of, record_key
from flagstream.warning_kinds import WarningKind

logger = logging.getLogger(__name__)
FIRST_FLUSH_S = 5.0
NEXT_FLUSH_S = 60.0
MAX_SAMPLES = 10
_SAMPLES_WRITTEN = 5
_MAX_TALLIES = 10_000
_MAX_PROJECTS_READ = 100
_MAX_TEXT_CHARS = 200
_HOUR_MS = 3_600_000
_DAY_HOURS = 24
_LET_IN = 100  # records, after which requests go between


class _Place(NamedTuple):
    project_id: int
    kind: WarningKind


@dataclass(slots=True)
class _Tally:
    """What was counted and is not written yet."""

    first_ms: int
    due_s: float
    last_ms: int = 0
    count: int = 0
    samples: list[WarningSample] = field(default_factory=list)

    def counts(self, kind: WarningKind) -> WarningCounts:
        return WarningCounts(
            kind=kind.value,
            count=self.count,
            first_ms=self.first_ms,
            last_ms=self.last_ms,
            samples=self.samples,
        )

    def join(self, older: "_Tally") -> None:
        """Take what could not be written back in."""
        self.first_ms = min(self.first_ms, older.first_ms)
        self.last_ms = max(self.last_ms, older.last_ms)
        self.count += older.count
        self.samples = [*older.samples, *self.samples][:_SAMPLES_WRITTEN]


@dataclass(slots=True)
class _Summed:
    """What the log has of one kind in a project."""

    first_ms: int
    last_ms: int
    count: int = 0
    by_hour: dict[int, int] = field(default_factory=dict)
    samples: deque[WarningSample] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))

    def add(self, counts: WarningCounts) -> None:
        self.first_ms = min(self.first_ms, counts.first_ms)
        self.last_ms = max(self.last_ms, counts.last_ms)
        self.count += counts.count
        hour = counts.last_ms // _HOUR_MS
        self.by_hour[hour] = self.by_hour.get(hour, 0) + counts.count
        if len(self.by_hour) > _DAY_HOURS + 1:
            del self.by_hour[min(self.by_hour)]
        self.samples.extend(counts.samples)

    def summary(self, kind: WarningKind, now_ms: int) -> WarningSummary:
        since = now_ms // _HOUR_MS - _DAY_HOURS
        return WarningSummary(
            kind=kind,
            count_24h=sum(count for hour, count in self.by_hour.items() if hour > since),
            count=self.count,
            first_ms=self.first_ms,
            last_ms=self.last_ms,
            samples=sorted(self.samples, key=lambda each: each.time_ms, reverse=True),
        )


@dataclass(slots=True)
class _Project:
    """
    What was read of a project.

    Attributes:
        following: The offset behind it, in the one partition that has the project's records.
    """

    following: int = 0
    kinds: dict[WarningKind, _Summed] = field(default_factory=dict)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class WarningLog:
    """Implements :class:`flagstream.ports.Warnings`."""

    def __init__(
        self,
        reader: TopicReader,
        sink: RecordSink,
        *,
        clock_ms: Callable[[], int],
        clock_s: Callable[[], float] = monotonic,
    ) -> None:
        self._reader = reader
        self._sink = sink
        self._clock_ms = clock_ms
        self._clock_s = clock_s
        self._tallies: dict[_Place, _Tally] = {}
        self._written_s: dict[_Place, float] = {}
        self._projects: OrderedDict[int, _Project] = OrderedDict()
        self._writing: asyncio.Task[None] | None = None
        self._flushing = asyncio.Lock()
        self._is_closing = asyncio.Event()

    def add(self, project_id: int, warning: IngestionWarning, count: int = 1) -> None:
        """Count, and keep a sample of the first."""
        INGESTION_WARNINGS.count(warning.kind.value, count)
        now_ms, place = self._clock_ms(), _Place(project_id, warning.kind)
        tally = self._tallies.get(place)
        if tally is None:
            if len(self._tallies) >= _MAX_TALLIES:
                return
            tally = self._tallies[place] = _Tally(now_ms, self._due_s(place))
        tally.count += count
        tally.last_ms = now_ms
        if len(tally.samples) < _SAMPLES_WRITTEN:
            tally.samples.append(_sample(warning, now_ms))
        if self._writing is None and not self._is_closing.is_set():
            # Not part of the request that is refused just now, nor of its trace.
            self._writing = asyncio.create_task(
                self._write(), name="ingestion-warnings", context=Context()
            )

    async def summaries(self, project_id: int) -> Sequence[WarningSummary]:
        """
        Sum up what the log has of a project, with what was counted here; the last seen first.

        Raises:
            LogUnavailableError: The log cannot be read or written now.
        """
        await self._flush(lambda place, _: place.project_id == project_id)
        project = self._projects.setdefault(project_id, _Project())
        self._projects.move_to_end(project_id)
        if len(self._projects) > _MAX_PROJECTS_READ:
            self._projects.popitem(last=False)
        async with project.reading:
            await self._catch_up(project_id, project)
        now_ms = self._clock_ms()
        found = [each.summary(kind, now_ms) for kind, each in project.kinds.items()]
        return sorted(found, key=lambda each: each.last_ms, reverse=True)

    async def close(self) -> None:
        """Write what was counted; from now on nothing is written by itself."""
        self._is_closing.set()
        if self._writing is not None:
            await self._writing
        try:
            await self._flush(lambda *_: True)
        except LogUnavailableError:
            logger.warning("ingestion warnings were not written")

    def _due_s(self, place: _Place) -> float:
        now_s = self._clock_s()
        written_s = self._written_s.get(place)
        return max(now_s + FIRST_FLUSH_S, now_s if written_s is None else written_s + NEXT_FLUSH_S)

    async def _write(self) -> None:
        """Write what is due, as long as there is something."""
        while self._tallies and not self._is_closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_closing.wait(), FIRST_FLUSH_S)
            try:
                await self._flush(lambda _, tally: tally.due_s <= self._clock_s())
            except LogUnavailableError:
                logger.warning("ingestion warnings wait until the log takes writes")
        self._writing = None

    async def _flush(self, is_wanted: Callable[[_Place, _Tally], bool]) -> None:
        # One after the other: who reads what was counted waits for what is being written.
        async with self._flushing:
            places = [place for place, tally in self._tallies.items() if is_wanted(place, tally)]
            await self._append({place: self._tallies.pop(place) for place in places})

    async def _append(self, tallies: Mapping[_Place, _Tally]) -> None:
        appends = [
            Append(
                Topic.INGESTION_WARNINGS,
                record_key(place.project_id),
                tally.counts(place.kind).to_bytes(),
            )
            for place, tally in tallies.items()
        ]
        try:
            if appends:
                await self._sink.append(appends)
        except BaseException:
            for place, tally in tallies.items():
                self._tallies.setdefault(place, _Tally(tally.first_ms, tally.due_s)).join(tally)
            raise
        now_s = self._clock_s()
        kept = {at: s for at, s in self._written_s.items() if s + NEXT_FLUSH_S > now_s}
        self._written_s = {**kept, **dict.fromkeys(tallies, now_s)}

    async def _catch_up(self, project_id: int, project: _Project) -> None:
        """Read on where the last reading stopped."""
        key = record_key(project_id)
        bounds = await self._reader.bounds([Topic.INGESTION_WARNINGS])
        own = TopicPartition(Topic.INGESTION_WARNINGS, partition_of(key, len(bounds)))
        starts = {place: end for place, (_, end) in bounds.items() if place != own}
        starts[own] = project.following
        async for record in scan(self._reader, Topic.INGESTION_WARNINGS, starts):
            if record.partition != own.partition:
                continue
            if record.key == key:
                _add(project.kinds, record.value or b"")
            project.following = record.offset + 1
            if record.offset % _LET_IN == 0:
                await asyncio.sleep(0)


def _add(kinds: dict[WarningKind, _Summed], value: bytes) -> None:
    try:
        counts = WarningCounts.from_bytes(value)
        kind = WarningKind(counts.kind)
    except (RecordError, ValueError):
        # Of a later release, beside which this one runs.
        return
    kinds.setdefault(kind, _Summed(counts.first_ms, counts.last_ms)).add(counts)


def _sample(warning: IngestionWarning, now_ms: int) -> WarningSample:
    return WarningSample(
        time_ms=now_ms,
        field=warning.field[:_MAX_TEXT_CHARS],
        expected=warning.expected[:_MAX_TEXT_CHARS],
        got=warning.got[:_MAX_TEXT_CHARS],
        event=_cut(warning.event),
        distinct_id=_cut(warning.distinct_id),
        uuid=_cut(warning.uuid),
    )


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_MAX_TEXT_CHARS]
