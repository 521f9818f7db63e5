"""Which flags may answer otherwise since a project's definitions changed."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from .checks import cohort_ids
from .compilation import CompiledProject, sound_cohorts
from .model import CohortDefinition, FlagDefinition, PropertyFilter
from .ordering import dependencies_first
from .parse import leaves
from .steps import Steps, stepwise

# What people read, and what says who may see definitions: no answer follows from them.
_FOR_PEOPLE = frozenset({"name", "description", "tags", "version", "archived"})


class Difference(StrEnum):
    """What became of a flag."""

    ADDED = "added"
    """It is answered, and was not before."""
    CHANGED = "changed"
    REMOVED = "removed"
    """It is not answered any more."""


@stepwise
def differences(before: CompiledProject, after: CompiledProject) -> Steps[Mapping[str, Difference]]:
    """
    Name the flags that may answer otherwise, flag by flag: their own definitions differ, or those
    of cohorts and flags that they name. Descriptions, tags and versions do not count.
    """
    cohorts = yield from _changed_cohorts(before, after)
    is_read_alike = before.parsed.matching == after.parsed.matching
    found: dict[str, Difference] = {}
    ordered = yield from dependencies_first.steps(after.graph)
    for key in dict.fromkeys([*ordered, *after.by_key]):
        flag, known = after.by_key.get(key), before.by_key.get(key)
        yield
        if flag is None or flag is known:
            continue
        if known is None:
            found[key] = Difference.ADDED
            continue
        ours, theirs = before.parsed.flags.get(key), after.parsed.flags.get(key)
        tests = () if theirs is None else theirs.tests
        if (
            not is_read_alike
            or _decisive(ours) != _decisive(theirs)
            or before.graph.get(key) != after.graph.get(key)
            or not found.keys().isdisjoint(after.graph.get(key, ()))
            or not cohorts.isdisjoint(cohort_ids(tests))
        ):
            found[key] = Difference.CHANGED
    removed = before.by_key.keys() - after.by_key.keys()
    return found | dict.fromkeys(removed, Difference.REMOVED)


def _changed_cohorts(before: CompiledProject, after: CompiledProject) -> Steps[set[Any]]:
    """Collect the ids of the cohorts that others are in, or that name such a one."""
    ours, theirs = before.parsed.cohorts, after.parsed.cohorts
    changed: set[Any] = ours.keys() ^ theirs.keys()
    for cohort in (yield from sound_cohorts.steps(after.parsed)):
        known = ours.get(cohort.id)
        if (known is not cohort and _decisive(known) != _decisive(cohort)) or (
            not changed.isdisjoint(cohort_ids(_tests(cohort)))
        ):
            changed.add(cohort.id)
        yield
    return changed


def _tests(cohort: CohortDefinition) -> Iterable[PropertyFilter]:
    return () if cohort.is_static else leaves(cohort.filters.properties)


def _decisive(definition: FlagDefinition | CohortDefinition | None) -> Mapping[str, Any]:
    """Take from a definition what answers follow from."""
    members: Mapping[str, Any] = {} if definition is None else definition.__dict__
    return {name: value for name, value in members.items() if name not in _FOR_PEOPLE}
