"""Reads of group, session and person state from the views."""

import operator
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from flagstream.ports import (
    Change,
    GroupPage,
    Person,
    PersonPage,
    PropertyWrite,
    Remembered,
    Search,
)
from flagstream.state import registers
from flagstream.state.definitions import Kind
from flagstream.state.groups import GroupState
from flagstream.state.history import ChangeState
from flagstream.state.identity import MAX_IDS, Identity, identity_of
from flagstream.state.persons import PersonState
from flagstream.state.sessions import ActiveGroups, SessionState
from flagstream.topics import Table, key_parts, record_key

from .cache import MISSING, ObjectCache
from .layout import active_prefix, range_of, session_of, table_key
from .persons import joined_person
from .store import ViewReader

_DAY_MS = 86_400_000
_MAX_EXAMINED = 500
T = TypeVar("T")
_NO_GROUPS: Mapping[str, str] = {}


class _Group(NamedTuple):
    state: GroupState
    properties: Mapping[str, Any]


class _Known:
    """
    What is known of one distinct id, and the person that was joined from it last.

    Attributes:
        members: The states that *person* was joined from.
    """

    __slots__ = ("members", "person", "state")

    def __init__(self, state: PersonState) -> None:
        self.state = state
        self.members: Sequence[PersonState] = ()
        self.person: Person | None = None


class StoredState:
    """
    The state of everything, as far as the follower has come.

    Not safe across threads: it is read and told of changes from the event loop.
    """

    def __init__(
        self,
        store: ViewReader,
        *,
        cache_entries: int,
        active_groups_ttl_days: float,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._store = store
        self._cache = ObjectCache(cache_entries)
        self._ttl_ms = round(active_groups_ttl_days * _DAY_MS)
        self._clock_ms = clock_ms

    def drop(self, keys: Iterable[bytes]) -> None:
        """Forget what was decoded from these keys: they have changed."""
        for key in keys:
            self._cache.drop(key)

    def group(self, project_id: int, group_type: str, group_key: str) -> GroupState | None:
        """Read one group with versions; None where it was never seen."""
        group = self._group(project_id, group_type, group_key)
        return None if group is None else group.state

    def group_properties(
        self, project_id: int, group_type: str, group_key: str
    ) -> Mapping[str, Any] | None:
        """Read the properties that are set; None where the group was never seen."""
        group = self._group(project_id, group_type, group_key)
        return None if group is None else group.properties

    def _group(self, project_id: int, group_type: str, group_key: str) -> _Group | None:
        key = table_key(Table.GROUPS, record_key(project_id, group_type, group_key))
        group: _Group | None = self._read(key, self._store.get, _decode_group)
        return group

    def groups(
        self, project_id: int, group_type: str, *, search: Search, after: str | None, limit: int
    ) -> GroupPage:
        """List groups, of which one call examines at most 500."""
        is_found = _matcher(search)

        def read(key: str, raw: bytes) -> tuple[str, GroupState] | None:
            group = GroupState.from_bytes(raw)
            return (key, group) if is_found((key,), group.values()) else None

        return GroupPage(*self._page(Table.GROUPS, (project_id, group_type), after, limit, read))

    def _page(
        self,
        table: Table,
        prefix: tuple[str | int, ...],
        after: str | None,
        limit: int,
        read: Callable[[str, bytes], T | None],
    ) -> tuple[list[T], str | None]:
        """
        Read a page of a table.

        Args:
            prefix: All parts of the keys but the last.
            after: The last part behind which the page begins.
            read: What to list of a record; None to leave it out.

        Returns:
            The page, and where the next one begins.
        """
        start, stop = range_of(table, *prefix)
        if after is not None:
            # The least key behind: a key's record ends where the zero byte is appended.
            start = table_key(table, record_key(*prefix, after)) + b"\0"
        found: list[T] = []
        for examined, (key, raw) in enumerate(self._store.items(start, stop)):
            if examined == _MAX_EXAMINED or len(found) == limit:
                return found, after
            after = str(key_parts(key[1:])[-1])
            each = read(after, raw)
            if each is not None:
                found.append(each)
        return found, None

    def history(self, project_id: int, kind: Kind, name: str) -> Sequence[Change]:
        """Read all changes of a definition, oldest first."""
        entries = self._store.items(*range_of(Table.HISTORY, project_id, kind, name))
        changes = [
            Change(str(key_parts(key[1:])[-1]), ChangeState.from_bytes(raw)) for key, raw in entries
        ]
        # The id of a scheduled change tells when it was due, which may be long before it came.
        return sorted(changes, key=lambda change: change.state.time_ms)

    def active_groups(
        self, project_id: int, distinct_id: str, session_id: str | None, now_ms: int
    ) -> Mapping[str, str]:
        """Read the remembered groups by type; empty where nothing fresh is remembered."""
        oldest_ms = now_ms - self._ttl_ms
        for active in self._remembered(project_id, distinct_id, session_id):
            if active is not None and active.time_ms >= oldest_ms:
                return active.groups
        merged = [
            active
            for anonymous_id in self._merged_ids(project_id, distinct_id)
            if (active := self._latest(project_id, anonymous_id)) and active.time_ms >= oldest_ms
        ]
        return max(merged, key=lambda active: active.order).groups if merged else _NO_GROUPS

    def remembered(
        self, project_id: int, distinct_id: str, session_id: str | None, now_ms: int
    ) -> Remembered | None:
        """Tell where the remembered groups come from; None where there are none."""
        groups = self.active_groups(project_id, distinct_id, session_id, now_ms)
        if not groups:
            return None
        if session_id is not None:
            active = self._of_session(project_id, session_id, distinct_id)
            if active is not None and active.groups is groups:
                return Remembered(groups, active.time_ms, distinct_id, session_id)
        for each in (distinct_id, *self._merged_ids(project_id, distinct_id)):
            active = self._latest(project_id, each)
            if active is not None and active.groups is groups:
                last = self._store.last_key(active_prefix(project_id, each))
                session = None if last is None else session_of(project_id, each, last)
                return Remembered(groups, active.time_ms, each, session)
        return None

    def _remembered(
        self, project_id: int, distinct_id: str, session_id: str | None
    ) -> Iterator[ActiveGroups | None]:
        if session_id is not None:
            yield self._of_session(project_id, session_id, distinct_id)
        yield self._latest(project_id, distinct_id)

    def _merged_ids(self, project_id: int, distinct_id: str) -> Sequence[str]:
        """Read the ids that were merged into this one, the latest first."""
        state = self._person(project_id, distinct_id)
        if state is None or not state.merged:
            return ()
        latest = sorted(state.merged, key=lambda merged: (-state.merged[merged], merged))
        return [
            merged for merged in latest[:MAX_IDS] if self._into(project_id, merged) == distinct_id
        ]

    def session_groups(
        self, project_id: int, session_id: str, distinct_id: str
    ) -> Mapping[str, str] | None:
        """
        Read the map that a session carried last for an id, if that is also what the id remembers.

        None once half of its time is over: then an update that only renews it is worth its while.
        """
        active = self._of_session(project_id, session_id, distinct_id)
        now_ms = self._clock_ms()
        if active is None or active.time_ms < now_ms - self._ttl_ms // 2:
            return None
        remembered = self.active_groups(project_id, distinct_id, None, now_ms)
        return active.groups if active.groups == remembered else None

    def _of_session(
        self, project_id: int, session_id: str, distinct_id: str
    ) -> ActiveGroups | None:
        key = table_key(Table.SESSIONS, record_key(project_id, session_id))
        session: SessionState | None = self._read(key, self._store.get, SessionState.from_bytes)
        return None if session is None else session.maps.get(distinct_id)

    def _latest(self, project_id: int, distinct_id: str) -> ActiveGroups | None:
        key = active_prefix(project_id, distinct_id)
        latest: ActiveGroups | None = self._read(key, self._store.last, ActiveGroups.from_bytes)
        return latest

    def person(self, project_id: int, distinct_id: str) -> Person | None:
        """
        Read the person, merges followed; None where nothing is known.

        What has not changed since it was last read is, as a rule, the same object.
        """
        known = self._known(project_id, distinct_id)
        if known is None:
            return None
        state = known.state
        if len(known.members) == 1 and not (state.into or state.merged or state.linked):
            return known.person
        identity = identity_of(distinct_id, partial(self._person, project_id))
        top = None if identity is None else self._known(project_id, next(iter(identity.trees[0])))
        return None if identity is None or top is None else _joined(top, identity)

    def person_write(self, project_id: int, distinct_id: str, name: str) -> PropertyWrite | None:
        """Tell which write of a person's property counts; None where it is not set."""
        person = self.person(project_id, distinct_id)
        if person is None or name not in person.properties:
            return None
        value = person.properties[name]
        for each in person.distinct_ids:
            state = self._person(project_id, each)
            if state is None:
                continue
            found = registers.register_of(name, state.properties, state.once)
            # The very object: joining copies no values.
            if found is not None and found.value is value:
                return PropertyWrite(each, found.version)
        return None

    def persons(
        self, project_id: int, *, search: Search, after: str | None, limit: int
    ) -> PersonPage:
        """List persons, each by the id that stays; one call examines at most 500 ids."""
        is_found = _matcher(search)

        def read(distinct_id: str, _: bytes) -> Person | None:
            person = self.person(project_id, distinct_id)
            if person is None or person.distinct_id != distinct_id:
                return None
            return person if is_found(person.distinct_ids, person.properties) else None

        return PersonPage(*self._page(Table.PERSONS, (project_id,), after, limit, read))

    def _into(self, project_id: int, distinct_id: str) -> str | None:
        state = self._person(project_id, distinct_id)
        return None if state is None or state.into is None else state.into[0]

    def _person(self, project_id: int, distinct_id: str) -> PersonState | None:
        known = self._known(project_id, distinct_id)
        return None if known is None else known.state

    def _known(self, project_id: int, distinct_id: str) -> _Known | None:
        key = table_key(Table.PERSONS, record_key(project_id, distinct_id))
        known: _Known | None = self._read(key, self._store.get, _decode_person)
        return known

    def _read(
        self, key: bytes, load: Callable[[bytes], bytes | None], decode: Callable[[bytes], Any]
    ) -> Any:
        found = self._cache.get(key)
        if found is MISSING:
            raw = load(key)
            found = None if raw is None else decode(raw)
            self._cache.put(key, found, 0 if raw is None else len(raw))
        return found


def _decode_group(raw: bytes) -> _Group:
    state = GroupState.from_bytes(raw)
    return _Group(state, state.values())


def _decode_person(raw: bytes) -> _Known:
    return _Known(PersonState.from_bytes(raw))


def _joined(top: _Known, identity: Identity) -> Person:
    """Join a person, unless that was done before and nothing has changed."""
    states = tuple(identity.states())
    person = top.person
    if person is None or person.distinct_id != identity.root or not _are_same(states, top.members):
        top.members = states
        person = top.person = joined_person(identity)
    return person


def _are_same(ours: Sequence[object], theirs: Sequence[object]) -> bool:
    return len(ours) == len(theirs) and all(map(operator.is_, ours, theirs))


def _matcher(search: Search) -> Callable[[Iterable[str], Mapping[str, Any]], bool]:
    part = search.part.lower()

    def is_found(ids: Iterable[str], properties: Mapping[str, Any]) -> bool:
        texts = chain(ids, (_text(properties.get(name)) for name in search.properties))
        return any(part in text.lower() for text in texts)

    return is_found


def _text(value: Any) -> str:
    """Write a value as people see it; nothing of what is no text or number."""
    return str(value) if isinstance(value, str | int | float) else ""
