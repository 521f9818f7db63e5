"""A log, the folds of it, and the view of these, all in dictionaries."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from flagstream.errors import LogUnavailableError
from flagstream.ports import Append, Person, Position, Search
from flagstream.state import registers
from flagstream.state.events import EventRecord
from flagstream.state.group_types import GroupTypesState
from flagstream.state.groups import GroupState
from flagstream.state.merge import REDUCERS
from flagstream.state.persons import PersonState
from flagstream.state.records import Record
from flagstream.state.sessions import ActiveGroups, SessionState
from flagstream.topics import Table, Topic, key_parts, record_key

TABLES = {table.source: table for table in Table}


class FoldedLog:
    """
    A sink, its progress and the state view: shows what a test has folded.

    Attributes:
        appended: Every record, in order; its place is its offset.
        is_down: Whether appends fail.
        gate: Appends wait until it is set.
        elsewhere: Topics and keys that another process has written, unseen as yet.
    """

    def __init__(self) -> None:
        self.appended: list[Append] = []
        self.is_down = False
        self.elsewhere: set[tuple[str, bytes]] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self._folded = 0
        self._tables: dict[Table, dict[bytes, bytes]] = {table: {} for table in Table}

    async def append(self, appends: Sequence[Append]) -> Sequence[Position]:
        await self.gate.wait()
        if self.is_down:
            raise LogUnavailableError("disk full")
        start = len(self.appended)
        self.appended.extend(appends)
        return [Position(each.topic, 0, start + index) for index, each in enumerate(appends)]

    def fold(self, count: int | None = None) -> None:
        """Fold the next *count* records, or all."""
        end = len(self.appended) if count is None else min(self._folded + count, len(self.appended))
        for offset in range(self._folded, end):
            topic, key, value = self.appended[offset]
            if topic in TABLES:
                states = self._tables[TABLES[topic]]
                after = REDUCERS[TABLES[topic]].fold(states.get(key), value, offset)
                assert after is not None
                states[key] = after
        self._folded = end

    def records(self, topic: Topic) -> list[Record]:
        """Decode what was appended to a topic."""
        decode = EventRecord if topic is Topic.EVENTS else REDUCERS[TABLES[topic]].update
        return [decode.from_bytes(each.value) for each in self.appended if each.topic is topic]

    def is_visible(self, position: Position) -> bool:
        return position.offset < self._folded

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
        root, state = distinct_id, self._person(project_id, distinct_id)
        if state is None:
            return None
        known = state
        while state is not None and state.into is not None:
            root = state.into[0]
            state = self._person(project_id, root)
        # A merge may be visible before anything of the person that it went into is.
        known = known if state is None else state
        return Person(
            distinct_id=root,
            properties=known.values(),
            is_identified=state is not None and state.is_identified,
            recent=known.recent,
            hash_keys=registers.values(known.hash_keys),
            distinct_ids=(root, *known.merged),
            created_at_ms=known.created_at_ms,
        )

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

    def fold(self, count: int | None = None) -> None:
        return

    def fold_at_last(self) -> None:
        super().fold()
