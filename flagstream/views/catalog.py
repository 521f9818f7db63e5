"""The definitions of every project, compiled once a change and swapped as a whole."""

import asyncio
import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from flagstream.errors import Problem
from flagstream.flags import (
    CompiledFlags,
    Definitions,
    Difference,
    LocalDefinitions,
    Sdk,
    Steps,
    compile_project,
    differences,
    local_definitions,
    parse_project,
    stepwise,
)
from flagstream.ports import ProjectSettings, ProjectSnapshot
from flagstream.slices import in_slices
from flagstream.state.definitions import DefinitionState, Kind
from flagstream.state.group_types import GroupTypesState
from flagstream.state.schedules import Schedule, parts_of, schedule_of
from flagstream.topics import Table, key_parts, record_key

from .layout import range_of, table_key
from .store import ViewReader
from .swapping import let_go, uncollected

logger = logging.getLogger(__name__)

_NO_TYPES = GroupTypesState(version=0)
_HASHED_AT_ONCE = 65_536  # bytes, well under a millisecond


class StoredCatalog:
    """
    The snapshots of all projects that have definitions or group types.

    Some have thousands of flags: work on a project is in steps, between which others are let in.

    Attributes:
        is_watched: Whether somebody asks for :meth:`differences`.
    """

    def __init__(self, store: ViewReader) -> None:
        self._store = store
        self._empty = snapshot(_NO_TYPES, {})
        self._snapshots: dict[int, ProjectSnapshot] = {}
        self._decoded: dict[bytes, _Decoded] = {}
        self._changed: set[int] = set()
        self.is_watched = False
        self._differences: dict[int, Mapping[str, Difference]] = {}
        # One refresh at a time: a slower one must not put an older snapshot in place.
        self._refreshing = asyncio.Lock()

    def project(self, project_id: int) -> ProjectSnapshot:
        """Read the present snapshot; an empty one for a project without definitions."""
        return self._snapshots.get(project_id, self._empty)

    def project_ids(self) -> Collection[int]:
        """List the projects that have a snapshot."""
        return tuple(self._snapshots)

    def mark(self, project_ids: Iterable[int]) -> None:
        """Note projects whose snapshots are to be made anew."""
        self._changed.update(project_ids)

    def mark_all(self) -> None:
        """Note all projects of the store."""
        for table in (Table.DEFINITIONS, Table.GROUP_TYPES):
            keys = (key for key, _ in self._store.items(*range_of(table)))
            self.mark(int(key_parts(key[1:])[0]) for key in keys)

    async def refresh(self) -> None:
        """Make the snapshots of all marked projects."""
        async with self._refreshing:
            while self._changed:
                project_id = self._changed.pop()
                await self._refresh(project_id)

    def differences(self) -> Mapping[int, Mapping[str, Difference]]:
        """Take the flags that may answer otherwise since this was asked last, by project."""
        found, self._differences = self._differences, {}
        return found

    async def _refresh(self, project_id: int) -> None:
        try:
            with uncollected():
                made = await in_slices(self._snapshot(project_id))
        except Exception:
            # Whatever an odd definition does, the others and the follower go on.
            logger.exception("definitions do not compile", extra={"project_id": project_id})
            return
        if self.is_watched:
            await self._compare(project_id, made)
        before = [self._snapshots.pop(project_id, None)]
        self._snapshots[project_id] = made
        await in_slices(let_go(before))

    async def _compare(self, project_id: int, made: ProjectSnapshot) -> None:
        before = self.project(project_id).project
        found = await in_slices(differences.steps(before, made.project))
        self._differences[project_id] = {**self._differences.get(project_id, {}), **found}

    def _snapshot(self, project_id: int) -> Steps[ProjectSnapshot]:
        raw = self._store.get(table_key(Table.GROUP_TYPES, record_key(project_id)))
        types = _NO_TYPES if raw is None else GroupTypesState.from_bytes(raw)
        before = self._snapshots.get(project_id)
        bodies = yield from self._bodies(project_id)
        made = yield from snapshot.steps(types, bodies, before)
        yield from _report(project_id, made, before)
        return made

    def _bodies(self, project_id: int) -> Steps[Mapping[tuple[str, str], Mapping[str, Any]]]:
        """Read a project's definitions; those that have not changed are the same objects."""
        bodies = {}
        for key, raw in self._store.items(*range_of(Table.DEFINITIONS, project_id)):
            known = self._decoded.get(key)
            if known is None or known.raw != raw:
                _, kind, name = key_parts(key[1:])
                body = DefinitionState.from_bytes(raw).body
                known = self._decoded[key] = _Decoded(raw, (str(kind), str(name)), body)
            bodies[known.place] = known.body
            yield
        return bodies


class _Decoded(NamedTuple):
    raw: bytes
    place: tuple[str, str]
    body: Mapping[str, Any]


def _report(project_id: int, made: ProjectSnapshot, before: ProjectSnapshot | None) -> Steps[None]:
    """Tell the operator once of each flag whose definition cannot be read."""
    known = {} if before is None else before.flags.problems
    for key, problems in made.flags.problems.items():
        if known.get(key) != problems:
            facts = {"project_id": project_id, "flag": key, "problems": _expected(problems)}
            logger.warning("a flag's definition cannot be read", extra=facts)
        yield


def _expected(problems: Sequence[Problem]) -> list[str]:
    """Say what is wrong without the values, which logs are not for."""
    return [f"{each.path}: expected {each.expected}" for each in problems]


@stepwise
def snapshot(
    types: GroupTypesState,
    bodies: Mapping[tuple[str, str], Mapping[str, Any]],
    before: ProjectSnapshot | None = None,
) -> Steps[ProjectSnapshot]:
    """
    Compile a project, flag by flag.

    Args:
        bodies: Of its definitions by kind and id.
        before: The last snapshot; what has not changed since is taken from there, and a flag whose
            new definition cannot be read keeps the last good one.
    """
    rows: dict[str, Mapping[str, Any]] = {}
    cohorts: dict[int, Mapping[str, Any]] = {}
    type_rows: dict[str, Mapping[str, Any]] = {}
    schedule_parts: dict[str, Mapping[str, Any]] = {}
    settings = ProjectSettings()
    for (kind, name), body in bodies.items():
        if kind == Kind.FLAG:
            rows[name] = body
        elif kind == Kind.COHORT:
            cohorts[body["id"]] = body
        elif kind == Kind.PROJECT:
            settings = msgspec.convert(body, ProjectSettings)
        elif kind == Kind.GROUP_TYPE:
            type_rows[name] = body
        elif kind == Kind.SCHEDULE:
            schedule_parts[name] = body
        yield
    definitions = Definitions(
        flags=rows,
        cohorts=cohorts,
        group_types={each.group_type: each.index for each in types.types},
        timezone=settings.timezone,
        property_matching_version=settings.property_matching_version,
    )
    known = None if before is None else before.project
    parsed = yield from parse_project.steps(definitions, None if known is None else known.parsed)
    project = yield from compile_project.steps(parsed, known)
    flags = yield from CompiledFlags.steps_of(project)
    if before is not None:
        yield from flags.prepare(before.flags)
    local = yield from local_definitions.steps(
        project,
        remembers_groups=settings.remember_active_groups,
        before=None if before is None else before.local_definitions,
    )
    return ProjectSnapshot(
        settings=settings,
        group_types=types,
        flag_rows=rows,
        cohort_rows=cohorts,
        group_type_rows=type_rows,
        schedules=(yield from _schedules(schedule_parts)),
        flags=flags,
        project=project,
        local_definitions=local,
        etags=(yield from _etags(local)),
    )


def _schedules(bodies: Mapping[str, Mapping[str, Any]]) -> Steps[Mapping[str, Schedule]]:
    found: dict[str, Schedule] = {}
    for schedule_id, parts in parts_of(bodies).items():
        schedule = schedule_of(schedule_id, parts)
        if schedule is not None:
            found[schedule_id] = schedule
        yield
    return found


def _etags(local: LocalDefinitions) -> Steps[Mapping[Sdk, str]]:
    etags: dict[Sdk, str] = {}
    for sdk, document in local.documents.items():
        digest, view = hashlib.sha256(), memoryview(document)
        for first in range(0, len(view), _HASHED_AT_ONCE):
            digest.update(view[first : first + _HASHED_AT_ONCE])
            yield
        etags[sdk] = digest.hexdigest()
    return etags
