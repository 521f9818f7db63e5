"""What has to be true of a cluster at rest: a function for each invariant yields what is not."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from flagstream.ports import LogRecord
from flagstream.state.groups import GroupState, GroupUpdate
from flagstream.state.merge import REDUCERS
from flagstream.topics import Table, key_parts, offset_of
from flagstream.transport.store import Copy

# Six times the session of a worker, on a machine that may be busy.
LONGEST_PAUSE_S = 60.0
_join = REDUCERS[Table.GROUPS].join


class Change(NamedTuple):
    """A property of a group, set to a number that nobody else ever sets."""

    group: str
    name: str
    number: int


class Held(NamedTuple):
    """What a node holds of the groups' changelog, and what it held when it was stopped before."""

    now: Sequence[Copy]
    before: Sequence[Copy]


@dataclass(frozen=True)
class Rest:
    """
    Everything that is known of a cluster once all nodes have been stopped.

    Attributes:
        source: All records of the groups' source.
        changelog: Of its changelog, those that compaction has kept.
        is_compacted: Whether there may have been more.
        acknowledged: Changes that clients were told are kept.
        seen: By API node, the changes as clients saw them there, in this order.
        commits: By partition, each offset that was seen committed, and the end of the changelog
            right behind it.
        went_back: Commits that were lower than one before.
        backlog: By partition, records of the source that were not committed in time.
        pauses_s: By what was done, how long a partition with a backlog stood still.
        held: By node.
        verified: By node, what ``flagstream verify`` has found.
    """

    source: Sequence[LogRecord]
    changelog: Sequence[LogRecord]
    is_compacted: bool
    acknowledged: Sequence[Change]
    seen: Mapping[str, Sequence[Change]]
    commits: Mapping[int, Mapping[int, int]]
    went_back: Sequence[str]
    backlog: Mapping[int, int]
    pauses_s: Mapping[str, float]
    held: Mapping[str, Held]
    verified: Mapping[str, Sequence[str]]

    @cached_property
    def offsets(self) -> Mapping[Change, int]:
        """Where in its partition each change is."""
        return {
            Change(str(key_parts(record.key)[2]), name, number): record.offset
            for record in self.source
            for name, number in GroupUpdate.from_bytes(record.value).set.items()
        }

    @cached_property
    def last(self) -> Mapping[bytes, bytes]:
        """The last record of each key in the changelog."""
        return {record.key: record.value for record in self.changelog if record.value is not None}

    @cached_property
    def joined(self) -> Mapping[bytes, bytes]:
        """All records of each key joined."""
        return _joined(self.changelog)


def nothing_is_lost(rest: Rest) -> Iterator[str]:
    """What was acknowledged is in the log."""
    for change in rest.acknowledged:
        if change not in rest.offsets:
            yield f"{change}: acknowledged, and not in the log"


def everything_agrees(rest: Rest) -> Iterator[str]:
    """I1: for every key the last state in the changelog is the fold of the log, and all copies'."""
    for node, lines in rest.verified.items():
        yield from (f"{node}: {line}" for line in lines)


def each_change_is_in_a_state(rest: Rest) -> Iterator[str]:
    """I2: every offset is the version of a state in the changelog, until compaction."""
    if not rest.is_compacted:
        written = {(record.partition, version) for record, version in _versions(rest.changelog)}
        for record in rest.source:
            if (record.partition, record.offset) not in written:
                yield f"{record.partition}/{record.offset}: in no state"


def commits_follow_the_changelog(rest: Rest) -> Iterator[str]:
    """I3: a commit never goes back, and never passes an offset that is not in the changelog yet."""
    yield from rest.went_back
    if rest.is_compacted:
        return
    first: dict[tuple[int, int], int] = {}
    for record, version in _versions(rest.changelog):
        first.setdefault((record.partition, version), record.offset)
    for partition, commits in rest.commits.items():
        offsets = sorted(record.offset for record in rest.source if record.partition == partition)
        latest, index = -1, 0
        for commit, end in sorted(commits.items()):
            while index < len(offsets) and offsets[index] < commit:
                latest = max(latest, first.get((partition, offsets[index]), -1))
                index += 1
            if latest >= end:
                yield f"{partition}: {commit} was committed before it was written"


def copies_hold_what_they_claim(rest: Rest) -> Iterator[str]:
    """I4: a table or view that says it is at an offset has joined all records up to there."""
    for node, held in rest.held.items():
        for copy in held.now:
            claimed = _joined(
                record
                for record in rest.changelog
                if record.offset < copy.ends.get(record.partition, 0)
            )
            for key, state in claimed.items():
                if not _includes(copy.states.get(key), state):
                    yield f"{node}, {copy.name}, {key!r}: less than it claims"


def versions_only_grow(rest: Rest) -> Iterator[str]:
    """I5: no node forgets a change, or shows one after a later one, restarts or not."""
    for node, held in rest.held.items():
        now = {copy.name: copy.states for copy in held.now}
        for copy in held.before:
            for key, state in copy.states.items():
                if not _includes(now.get(copy.name, {}).get(key), state):
                    yield f"{node}, {copy.name}, {key!r}: less than before"
    for node, changes in rest.seen.items():
        newest: dict[tuple[str, str], int] = {}
        for change in changes:
            offset, place = rest.offsets.get(change), (change.group, change.name)
            if offset is None or offset < newest.get(place, 0):
                yield f"{node}: {change} seen after offset {newest.get(place)}, is at {offset}"
            newest[place] = max(offset or 0, newest.get(place, 0))


def no_change_is_passed_over(rest: Rest) -> Iterator[str]:
    """I6: every property has the value and the version of its last change in the log."""
    last: dict[tuple[str, str], tuple[int, int]] = {}
    for change, offset in rest.offsets.items():
        place = (change.group, change.name)
        last[place] = max((offset, change.number), last.get(place, (-1, -1)))
    states = {key_parts(key)[2]: GroupState.from_bytes(raw) for key, raw in rest.last.items()}
    for (group, name), (offset, number) in last.items():
        found = states[group].properties.get(name) if group in states else None
        if found is None or (offset_of(found.version), found.value) != (offset, number):
            yield f"{group}, {name}: expected {number} of offset {offset}, got {found}"


def commits_progress(rest: Rest) -> Iterator[str]:
    """I7: what has a backlog is committed, before long, and in the end all is."""
    for partition, count in rest.backlog.items():
        if count:
            yield f"{partition}: {count} records were not committed"
    for doing, pause_s in rest.pauses_s.items():
        if pause_s > LONGEST_PAUSE_S:
            yield f"{doing}: no progress for {pause_s:.1f} s"


def stale_generations_change_nothing(rest: Rest) -> Iterator[str]:
    """I8: what a worker wrote that had lost its partition is not the last word on any key."""
    for key, state in rest.last.items():
        if not _includes(state, rest.joined[key]):
            yield f"{key!r}: the last state lacks what an earlier one has"


INVARIANTS: Mapping[str, Callable[[Rest], Iterator[str]]] = {
    "lost": nothing_is_lost,
    "I1": everything_agrees,
    "I2": each_change_is_in_a_state,
    "I3": commits_follow_the_changelog,
    "I4": copies_hold_what_they_claim,
    "I5": versions_only_grow,
    "I6": no_change_is_passed_over,
    "I7": commits_progress,
    "I8": stale_generations_change_nothing,
}


def _joined(records: Iterable[LogRecord]) -> Mapping[bytes, bytes]:
    states: dict[bytes, bytes] = {}
    for record in records:
        if record.value is not None:
            states[record.key] = _join(states.get(record.key), record.value)
    return states


def _includes(ours: bytes | None, theirs: bytes) -> bool:
    return ours is not None and _join(ours, theirs) == ours


def _versions(changelog: Iterable[LogRecord]) -> Iterator[tuple[LogRecord, int]]:
    for record in changelog:
        if record.value is not None:
            yield record, offset_of(GroupState.from_bytes(record.value).version)
