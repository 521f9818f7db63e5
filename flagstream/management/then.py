"""The definitions of a project as they were."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from flagstream.errors import InvalidFieldError
from flagstream.flags import CompiledFlags, Definitions, Steps, compile_project, parse_project
from flagstream.flags.walk import cohort_tests, flag_tests
from flagstream.ports import Change, ProjectSettings, ProjectSnapshot, StateView
from flagstream.state.definitions import Kind

from .bodies import MEMBERS, Row, iso_time


def snapshot_at(
    view: StateView,
    project_id: int,
    present: ProjectSnapshot,
    time_ms: int,
    keys: Collection[str] | None = None,
) -> Steps[ProjectSnapshot]:
    """
    Compile a project's definitions as they were.

    Group types stay as they are, as they never change, and so do the members of static cohorts,
    which no history keeps, and what SDKs get.

    Args:
        keys: Of the flags that are wanted, with all that they follow from; None is all.

    Raises:
        InvalidFieldError: What a definition was then is not known.
    """
    past = _Past(view, project_id, present, time_ms)
    if keys is None:
        flags, cohorts = yield from past.everything()
    else:
        flags, cohorts = yield from past.needed(keys)
    settings = past.settings()
    definitions = Definitions(
        flags=flags,
        cohorts=cohorts,
        group_types=present.project.parsed.group_types,
        timezone=settings.timezone,
        property_matching_version=settings.property_matching_version,
    )
    parsed = yield from parse_project.steps(definitions)
    project = yield from compile_project.steps(parsed)
    return replace(
        present,
        settings=settings,
        flag_rows=flags,
        cohort_rows=cohorts,
        project=project,
        flags=(yield from CompiledFlags.steps_of(project)),
    )


_Rows = tuple[dict[str, Row], dict[int, Row]]


class _Past:
    """What the histories of one project say of one time."""

    def __init__(
        self, view: StateView, project_id: int, present: ProjectSnapshot, time_ms: int
    ) -> None:
        self._view = view
        self._project_id = project_id
        self._present = present
        self._time_ms = time_ms

    def everything(self) -> Steps[_Rows]:
        flags: dict[str, Row] = {}
        cohorts: dict[int, Row] = {}
        for key in self._present.flag_rows:
            self._take_flag(key, flags)
            yield
        for cohort_id in self._present.cohort_rows:
            self._take_cohort(cohort_id, cohorts)
            yield
        return flags, cohorts

    def needed(self, keys: Iterable[str]) -> Steps[_Rows]:
        """Read some flags, and what they named then; ids have been whose they are ever since."""
        by_id = {str(row["id"]): key for key, row in self._present.flag_rows.items()}
        flags: dict[str, Row] = {}
        cohorts: dict[int, Row] = {}
        pending: list[str | int] = [key for key in keys if key in self._present.flag_rows]
        seen = set(pending)
        while pending:
            name = pending.pop()
            for test in self._tests(name, flags, cohorts):
                other: Any = test.get("value")
                if test.get("type") == "flag":
                    other = by_id.get(str(test.get("key")), test.get("key"))
                elif test.get("type") != "cohort":
                    continue
                if self._is_known(other) and other not in seen:
                    seen.add(other)
                    pending.append(other)
            yield
        return flags, cohorts

    def _is_known(self, name: Any) -> bool:
        rows: Collection[Any] = self._present.flag_rows if isinstance(name, str) else ()
        return name in (self._present.cohort_rows if isinstance(name, int) else rows)

    def _tests(
        self, name: str | int, flags: dict[str, Row], cohorts: dict[int, Row]
    ) -> Sequence[Row]:
        if isinstance(name, str):
            self._take_flag(name, flags)
            return [test for _, test in flag_tests(flags.get(name, {}))]
        self._take_cohort(name, cohorts)
        return [test for _, test in cohort_tests(cohorts.get(name, {}))]

    def settings(self) -> ProjectSettings:
        body = self._body(Kind.PROJECT, str(self._project_id))
        return ProjectSettings() if body is None else msgspec.convert(body, ProjectSettings)

    def _take_flag(self, key: str, flags: dict[str, Row]) -> None:
        body = self._body(Kind.FLAG, key)
        if body is not None:
            flags[key] = body

    def _take_cohort(self, cohort_id: int, cohorts: dict[int, Row]) -> None:
        body = self._body(Kind.COHORT, str(cohort_id))
        if body is not None:
            members = self._present.cohort_rows[cohort_id].get(MEMBERS, [])
            cohorts[cohort_id] = {**body, MEMBERS: members} if body.get("is_static") else body

    def _body(self, kind: Kind, name: str) -> Mapping[str, Any] | None:
        """Read a definition; None where there was none yet."""
        changes = self._view.history(self._project_id, kind, name)
        past = [each for each in changes if each.state.time_ms <= self._time_ms]
        if past:
            return max(past, key=_order).state.body
        first = min(changes, key=_order, default=None)
        if first is not None and first.state.body.get("version", 1) != 1:
            since = iso_time(first.state.time_ms)
            raise InvalidFieldError(
                "as_of",
                f"a time from {since} on, since when the definition of {kind} {name} is known",
                iso_time(self._time_ms),
            )
        return None


def _order(change: Change) -> tuple[int, int]:
    return change.state.time_ms, change.state.version
