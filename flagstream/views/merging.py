"""Joins changelog records onto the stored ones: everybody merges, nobody replaces."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flagstream.errors import RecordError
from flagstream.ports import LogRecord, TopicPartition
from flagstream.state.access import ACCESS_KINDS
from flagstream.state.merge import REDUCERS, Reducer
from flagstream.state.sessions import SessionState
from flagstream.topics import Table, key_parts

from .layout import active_entries, active_prefix, table_key

TABLES = {table.changelog: table for table in Table}


class _Rule(NamedTuple):
    """How the records of a changelog are joined, looked up once for each of millions."""

    table: Table
    reducer: Reducer[Any, Any]
    prefix: bytes


_RULES = {
    topic: _Rule(table, REDUCERS[table], table_key(table, b"")) for topic, table in TABLES.items()
}


@dataclass(slots=True)
class Merge:
    """
    A run of records, joined and ready to be written at once.

    Attributes:
        stored: Reads what is stored under a key.
        changes: New value by key, None to delete.
        positions: Next offset of each partition that had a record.
        versions: Highest version of each partition of a changelog that had a state.
        stale: Keys under which decoded objects may be cached.
        projects: Whose flags, or what they are compiled with, changed.
        skipped: Records that could not be decoded.
    """

    stored: Callable[[bytes], bytes | None]
    changes: dict[bytes, bytes | None] = field(default_factory=dict)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    versions: dict[TopicPartition, int] = field(default_factory=dict)
    stale: set[bytes] = field(default_factory=set)
    projects: set[int] = field(default_factory=set)
    skipped: list[LogRecord] = field(default_factory=list)

    def applied(self) -> Iterator[tuple[Table, int, int]]:
        """Yield each table's partition that had a state, with the highest version."""
        for (changelog, partition), version in self.versions.items():
            yield TABLES[changelog], partition, version

    def add(self, record: LogRecord) -> None:
        """Join one record; one that cannot be decoded only moves the position."""
        place = TopicPartition(record.topic, record.partition)
        self.positions[place] = record.offset + 1
        try:
            self._join(place, record)
        except RecordError:
            self.skipped.append(record)

    def _join(self, place: TopicPartition, record: LogRecord) -> None:
        table, reducer, prefix = _RULES[record.topic]
        reducer.check_key(record.key)
        key = prefix + record.key
        before = self.changes[key] if key in self.changes else self.stored(key)
        after = record.value
        if after is not None:
            # Decoded even where nothing is joined: what is stored must be readable.
            version = reducer.version(after)
            self.versions[place] = max(version, self.versions.get(place, version))
            after = reducer.join(before, after)
        if after == before:
            return
        self.changes[key] = after
        self.stale.add(key)
        if table is Table.SESSIONS:
            self._index(record.key, before, after)
        elif table in (Table.DEFINITIONS, Table.GROUP_TYPES):
            project_id, *rest = key_parts(record.key)
            if ACCESS_KINDS.isdisjoint(rest[:1]):
                self.projects.add(int(project_id))

    def _index(self, session_key: bytes, before: bytes | None, after: bytes | None) -> None:
        states = [
            SessionState(version=0, maps={}) if raw is None else SessionState.from_bytes(raw)
            for raw in (before, after)
        ]
        old, new = (active_entries(session_key, state) for state in states)
        self.changes.update(dict.fromkeys(old.keys() - new.keys()))
        self.changes.update((key, new[key]) for key in new if new[key] != old.get(key))
        project_id = int(key_parts(session_key)[0])
        for state in states:
            self.stale.update(active_prefix(project_id, each) for each in state.maps)
