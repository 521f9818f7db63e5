"""The definitions of every project, compiled once a change and swapped as a whole."""

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import orjson

from flagstream.flags import compile_flags, local_definitions
from flagstream.ports import ProjectSettings, ProjectSnapshot
from flagstream.state.definitions import DefinitionState, Kind
from flagstream.state.group_types import GroupTypesState
from flagstream.topics import Table, key_parts, record_key

from .layout import range_of, table_key
from .store import ViewStore

logger = logging.getLogger(__name__)

_NO_TYPES = GroupTypesState(version=0)


class StoredCatalog:
    """The snapshots of all projects that have definitions or group types."""

    def __init__(self, store: ViewStore) -> None:
        self._store = store
        self._empty = snapshot(_NO_TYPES, {})
        self._snapshots: dict[int, ProjectSnapshot] = {}
        self._changed: set[int] = set()
        # One refresh at a time: a slower one must not put an older snapshot in place.
        self._refreshing = asyncio.Lock()

    def project(self, project_id: int) -> ProjectSnapshot:
        """Read the present snapshot; an empty one for a project without definitions."""
        return self._snapshots.get(project_id, self._empty)

    def mark(self, project_ids: Iterable[int]) -> None:
        """Note projects whose snapshots are to be made anew."""
        self._changed.update(project_ids)

    def mark_all(self) -> None:
        """Note all projects of the store."""
        for table in (Table.DEFINITIONS, Table.GROUP_TYPES):
            keys = (key for key, _ in self._store.items(*range_of(table)))
            self.mark(int(key_parts(key[1:])[0]) for key in keys)

    async def refresh(self) -> None:
        """Make the snapshots of all marked projects, in a thread: some have thousands of flags."""
        async with self._refreshing:
            while self._changed:
                project_id = self._changed.pop()
                await self._refresh(project_id)

    async def _refresh(self, project_id: int) -> None:
        try:
            self._snapshots[project_id] = await asyncio.to_thread(self._snapshot, project_id)
        except Exception:
            # Whatever an odd definition does, the others and the follower go on.
            logger.exception("definitions do not compile", extra={"project_id": project_id})

    def _snapshot(self, project_id: int) -> ProjectSnapshot:
        raw = self._store.get(table_key(Table.GROUP_TYPES, record_key(project_id)))
        types = _NO_TYPES if raw is None else GroupTypesState.from_bytes(raw)
        return snapshot(types, self._bodies(project_id))

    def _bodies(self, project_id: int) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        bodies = {}
        for key, raw in self._store.items(*range_of(Table.DEFINITIONS, project_id)):
            _, kind, name = key_parts(key[1:])
            bodies[str(kind), str(name)] = DefinitionState.from_bytes(raw).body
        return bodies


def snapshot(
    types: GroupTypesState,
    bodies: Mapping[tuple[str, str], Mapping[str, Any]],
) -> ProjectSnapshot:
    """
    Compile a project.

    Args:
        bodies: Of its definitions by kind and id.
    """
    rows = {name: body for (kind, name), body in bodies.items() if kind == Kind.FLAG}
    indexes = {each.group_type: each.index for each in types.types}
    settings = next((body for (kind, _), body in bodies.items() if kind == Kind.PROJECT), {})
    document = orjson.dumps(local_definitions(rows, indexes), option=orjson.OPT_SORT_KEYS)
    return ProjectSnapshot(
        settings=msgspec.convert(settings, ProjectSettings),
        group_types=types,
        flag_rows=rows,
        flags=compile_flags(rows, indexes),
        local_definitions=document,
        etag=hashlib.sha256(document).hexdigest(),
    )
