"""A log, the folds of it, and the view of these, all in dictionaries."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from flagstream.errors import LogUnavailableError
from flagstream.ports import Append, Person, Position, Search
from flagstream.state.events import EventRecord
from flagstream.state.group_types import GroupTypesState
from flagstream.state.groups import GroupState
from flagstream.state.identity import identity_of
from flagstream.state.merge import REDUCERS
from flagstream.state.persons import PersonState
from flagstream.state.records import Record
from flagstream.state.sessions import ActiveGroups, SessionState
from flagstream.topics import Table, Topic, key_parts, partition_of, record_key
from flagstream.views.persons import joined_person

TABLES = {table.source: table for table in Table}
PARTITIONS = 3


class FoldedLog:
    """
    A sink, its progress and the state view: shows what a test has folded.

    Args:
        other: Another node on the same log, which folds at its own pace.

    Attributes:
        appended: Every record, in order; its place stands for its position.
        is_down: Whether appends fail.
        gate: Appends wait until it is set.
        elsewhere: Topics and keys that another process has written, unseen as yet.
    """

    def __init__(self, other: "FoldedLog | None" = None) -> None:
        self.appended: list[Append] = [] if other is None else other.appended
        self.is_down = False
        self.elsewhere: set[tuple[str, bytes]] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self._folded = [0] * PARTITIONS
        self._tables: dict[Table, dict[bytes, bytes]] = {table: {} for table in Table}

    async def append(self, appends: Sequence[Append]) -> Sequence[Position]:
        await self.gate.wait()
        if self.is_down:
            raise LogUnavailableError("disk full")
        start = len(self.appended)
        self.appended.extend(appends)
        return [Position(each.topic, 0, start + index) for index, each in enumerate(appends)]

    def fold(self, count: int | None = None, partition: int | None = None) -> None:
        """Fold the next *count* records, or all, of one partition or of all."""
        versions = Counter[tuple[Topic, int]]()
        for place, (topic, key, value) in enumerate(self.appended):
            of = partition_of(key, PARTITIONS)
            # Versions of two partitions have nothing to do with each other.
            version = versions[topic, of]
            versions[topic, of] += 1
            if place < self._folded[of] or count == 0 or partition not in (None, of):
                continue
            if topic in TABLES:
                states = self._tables[TABLES[topic]]
                after = REDUCERS[TABLES[topic]].fold(states.get(key), value, version)
                assert after is not None
                states[key] = after
            self._folded[of] = place + 1
            count = None if count is None else count - 1

    def fold_again(self, start: int) -> None:
        """Fold all records from a place on once more, as after a crash."""
        self._folded = [start] * PARTITIONS
        self.fold()

    def records(self, topic: Topic) -> list[Record]:
        """Decode what was appended to a topic."""
        decode = EventRecord if topic is Topic.EVENTS else REDUCERS[TABLES[topic]].update
        return [decode.from_bytes(each.value) for each in self.appended if each.topic is topic]

    def is_visible(self, position: Position) -> bool:
        key = self.appended[position.offset].key
        return position.offset < self._folded[partition_of(key, PARTITIONS)]

    def is_settled(self, topic: str, key: bytes) -> bool:
        return (topic, key) not in self.elsewhere

    async def wait_visible(self, positions: Sequence[Position], timeout_s: float) -> bool:
        return all(map(self.is_visible, positions))

    def group_types(self, project_id: int) -> GroupTypesState:
        raw = self._tables[Table.GROUP_TYPES].get(record_key(project_id))
        return GroupTypesState(version=0) if raw is None else GroupTypesState.from_bytes(raw)

    def group(self, project_id: int, group_type: str, group_key: str) -> GroupState | None:
        raw = self._tables[Table.GROUPS].get(record_key(project_id, group_type, group_key))
        return None if raw is None else GroupState.from_bytes(raw)

    def group_properties(
        self, project_id: int, group_type: str, group_key: str
    ) -> Mapping[str, Any] | None:
        group = self.group(project_id, group_type, group_key)
        return None if group is None else group.values()

    def groups(
        self, project_id: int, group_type: str, *, search: Search, after: str | None, limit: int
    ) -> Any:
        raise NotImplementedError

    def active_groups(
        self, project_id: int, distinct_id: str, session_id: str | None, now_ms: int
    ) -> Mapping[str, str]:
        latest = max(
            (each for each in self._sessions(project_id, distinct_id).values()),
            key=lambda active: active.order,
            default=None,
        )
        return {} if latest is None else latest.groups

    def session_groups(
        self, project_id: int, session_id: str, distinct_id: str
    ) -> Mapping[str, str] | None:
        active = self._sessions(project_id, distinct_id).get(session_id)
        remembered = self.active_groups(project_id, distinct_id, None, 0)
        return None if active is None or active.groups != remembered else active.groups

    def _sessions(self, project_id: int, distinct_id: str) -> dict[str, ActiveGroups]:
        sessions = {}
        for key, raw in self._tables[Table.SESSIONS].items():
            project, session_id = key_parts(key)
            maps = SessionState.from_bytes(raw).maps
            if project == project_id and distinct_id in maps:
                sessions[str(session_id)] = maps[distinct_id]
        return sessions

    def person(self, project_id: int, distinct_id: str) -> Person | None:
        identity = identity_of(distinct_id, partial(self._person, project_id))
        return None if identity is None else joined_person(identity)

    def _person(self, project_id: int, distinct_id: str) -> PersonState | None:
        raw = self._tables[Table.PERSONS].get(record_key(project_id, distinct_id))
        return None if raw is None else PersonState.from_bytes(raw)

    def answers(self, project_id: int, distinct_ids: Sequence[str]) -> dict[str, Any]:
        """Read every value that an answer could come from."""
        return {
            "types": [each.group_type for each in self.group_types(project_id).types],
            "groups": {
                key: GroupState.from_bytes(raw).values()
                for key, raw in self._tables[Table.GROUPS].items()
            },
            "sessions": {
                (distinct_id, session_id): active.groups
                for distinct_id in distinct_ids
                for session_id, active in self._sessions(project_id, distinct_id).items()
            },
            "remembered": {
                distinct_id: self.active_groups(project_id, distinct_id, None, 0)
                for distinct_id in distinct_ids
            },
            "persons": {
                distinct_id: person
                and (person.distinct_id, person.properties, person.is_identified)
                for distinct_id in distinct_ids
                for person in [self.person(project_id, distinct_id)]
            },
        }


class BlindLog(FoldedLog):
    """A log whose view never shows a thing: nothing can be suppressed by it."""

    def fold(self, count: int | None = None, partition: int | None = None) -> None:
        return

    def fold_at_last(self) -> None:
        super().fold()
