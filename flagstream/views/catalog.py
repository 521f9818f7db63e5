"""The definitions of every project, compiled once a change and swapped as a whole."""

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec

from flagstream.flags import (
    CompiledFlags,
    Definitions,
    compile_project,
    local_definitions,
    parse_project,
)
from flagstream.ports import ProjectSettings, ProjectSnapshot
from flagstream.state.definitions import DefinitionState, Kind
from flagstream.state.group_types import GroupTypesState
from flagstream.topics import Table, key_parts, record_key

from .layout import range_of, table_key
from .store import ViewStore
from .swapping import let_go, make_apart

logger = logging.getLogger(__name__)

_NO_TYPES = GroupTypesState(version=0)


class StoredCatalog:
    """The snapshots of all projects that have definitions or group types."""

    def __init__(self, store: ViewStore) -> None:
        self._store = store
        self._empty = snapshot(_NO_TYPES, {})
        self._snapshots: dict[int, ProjectSnapshot] = {}
        self._decoded: dict[bytes, _Decoded] = {}
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
            made = await asyncio.to_thread(make_apart, partial(self._snapshot, project_id))
        except Exception:
            # Whatever an odd definition does, the others and the follower go on.
            logger.exception("definitions do not compile", extra={"project_id": project_id})
            return
        before = [self._snapshots.pop(project_id, None)]
        self._snapshots[project_id] = made
        await asyncio.to_thread(let_go, before)

    def _snapshot(self, project_id: int) -> ProjectSnapshot:
        raw = self._store.get(table_key(Table.GROUP_TYPES, record_key(project_id)))
        types = _NO_TYPES if raw is None else GroupTypesState.from_bytes(raw)
        before = self._snapshots.get(project_id)
        made = snapshot(types, self._bodies(project_id), before)
        _report(project_id, made, before)
        return made

    def _bodies(self, project_id: int) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """Read a project's definitions; those that have not changed are the same objects."""
        bodies = {}
        for key, raw in self._store.items(*range_of(Table.DEFINITIONS, project_id)):
            known = self._decoded.get(key)
            if known is None or known.raw != raw:
                _, kind, name = key_parts(key[1:])
                body = DefinitionState.from_bytes(raw).body
                known = self._decoded[key] = _Decoded(raw, (str(kind), str(name)), body)
            bodies[known.place] = known.body
        return bodies


class _Decoded(NamedTuple):
    raw: bytes
    place: tuple[str, str]
    body: Mapping[str, Any]


def _report(project_id: int, made: ProjectSnapshot, before: ProjectSnapshot | None) -> None:
    """Tell the operator once of each flag whose definition cannot be read."""
    known = {} if before is None else before.flags.problems
    for key, problems in made.flags.problems.items():
        if known.get(key) != problems:
            facts = {"project_id": project_id, "flag": key, "problems": list(map(str, problems))}
            logger.warning("a flag's definition cannot be read", extra=facts)


def snapshot(
    types: GroupTypesState,
    bodies: Mapping[tuple[str, str], Mapping[str, Any]],
    before: ProjectSnapshot | None = None,
) -> ProjectSnapshot:
    """
    Compile a project.

    Args:
        bodies: Of its definitions by kind and id.
        before: The last snapshot; what has not changed since is taken from there, and a flag whose
            new definition cannot be read keeps the last good one.
    """
    rows = {name: body for (kind, name), body in bodies.items() if kind == Kind.FLAG}
    cohorts = {body["id"]: body for (kind, _), body in bodies.items() if kind == Kind.COHORT}
    body = next((body for (kind, _), body in bodies.items() if kind == Kind.PROJECT), {})
    settings = msgspec.convert(body, ProjectSettings)
    definitions = Definitions(
        flags=rows,
        cohorts=cohorts,
        group_types={each.group_type: each.index for each in types.types},
        timezone=settings.timezone,
        property_matching_version=settings.property_matching_version,
    )
    known = None if before is None else before.project
    parsed = parse_project(definitions, None if known is None else known.parsed)
    project = compile_project(parsed, known)
    local = local_definitions(
        project,
        remembers_groups=settings.remember_active_groups,
        before=None if before is None else before.local_definitions,
    )
    return ProjectSnapshot(
        settings=settings,
        group_types=types,
        flag_rows=rows,
        cohort_rows=cohorts,
        flags=CompiledFlags.of(project),
        project=project,
        local_definitions=local,
        etags={
            sdk: hashlib.sha256(document).hexdigest() for sdk, document in local.documents.items()
        },
    )
