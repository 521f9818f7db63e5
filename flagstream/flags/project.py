"""A project's definitions parsed: what can be read of them, and what is wrong with the rest."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flagstream.errors import InvalidDefinitionError, Problem

from .model import CohortDefinition, FlagDefinition, PropertyFilter
from .operators import Matching
from .parse import leaves, parse_cohort, parse_flag
from .steps import Steps, stepwise
from .walk import Row

UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """
    What a project's flags follow from, as stored.

    Attributes:
        flags: Rows by key.
        cohorts: Rows by id.
        group_types: Index by name, of all types that the project has.
        timezone: Name of the time zone in which dates without an offset are read.
        property_matching_version: PostHog's, 1 or 2.
    """

    flags: Mapping[str, Row] = field(default_factory=dict[str, Row])
    cohorts: Mapping[int, Row] = field(default_factory=dict[int, Row])
    group_types: Mapping[str, int] = field(default_factory=dict[str, int])
    timezone: str = "UTC"
    property_matching_version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParsedProject:
    """
    Definitions that can be read; immutable.

    Attributes:
        flags: By key, without those that are deleted.
        cohorts: By id, likewise.
        problems: By flag key, what is wrong with a row that cannot be read. Its flag is among
            *flags* all the same where an earlier row of it could be read.
        rows: Of the flags, as stored.
        cohort_rows: Of the cohorts, as stored.
        keys_by_id: Of the flags, ids as text.
    """

    flags: Mapping[str, FlagDefinition]
    cohorts: Mapping[int, CohortDefinition]
    problems: Mapping[str, Sequence[Problem]]
    rows: Mapping[str, Row]
    cohort_rows: Mapping[int, Row]
    keys_by_id: Mapping[str, str]
    group_types: Mapping[str, int]
    matching: Matching

    def resolve(self, test: PropertyFilter) -> str | None:
        """
        Find the key of the flag that a filter names; None where there is none.

        A name is an id where a flag has it, as PostHog stores it, and else a key.
        """
        key = None if test.dependency_chain is not None else self.keys_by_id.get(test.key)
        if key is None and (test.key in self.flags or test.key in self.problems):
            return test.key
        return key

    def is_off(self, key: str) -> bool:
        """Tell whether a flag is not active, hence false for everybody."""
        if key in self.flags:
            return not self.flags[key].active
        return key in self.problems and self.rows[key].get("active") is False

    def needed(self, definition: FlagDefinition) -> "Needed":
        """Collect what a flag's answer follows from: of its own tests, and of those of these."""
        keys, cohort_ids = set[str](), set[int]()
        pending = [*definition.tests]
        while pending:
            test = pending.pop()
            if test.type == "cohort" and test.value not in cohort_ids:
                cohort_ids.add(test.value)
                cohort = self.cohorts.get(test.value)
                if cohort is not None and not cohort.is_static:
                    pending.extend(leaves(cohort.filters.properties))
            elif test.type == "flag" and (key := self.resolve(test)) and key not in keys:
                keys.add(key)
                pending.extend(self.flags[key].tests if key in self.flags else ())
        return Needed(keys, cohort_ids)


class Needed(NamedTuple):
    """The flags and cohorts that something follows from."""

    keys: Collection[str]
    cohort_ids: Collection[int]


@stepwise
def parse_project(
    definitions: Definitions, before: ParsedProject | None = None
) -> Steps[ParsedProject]:
    """
    Parse all definitions of a project, flag by flag. Total.

    Args:
        before: What was parsed last. Rows that have not changed are not parsed again, and of a
            flag whose row cannot be read any more the last good definition stays.
    """
    flags: dict[str, FlagDefinition] = {}
    problems: dict[str, Sequence[Problem]] = {}
    for key, row in definitions.flags.items():
        yield
        if row.get("deleted", False) is True:
            continue
        known = None if before is None else before.flags.get(key)
        if before is not None and before.rows.get(key) is row:
            found = before.problems.get(key)
        else:
            known, found = _parsed(row, known)
        if known is not None:
            flags[key] = known
        if found is not None:
            problems[key] = found
    return ParsedProject(
        flags=flags,
        cohorts=(yield from _readable(definitions.cohorts, before)),
        cohort_rows=definitions.cohorts,
        problems=problems,
        rows=definitions.flags,
        keys_by_id=(yield from _keys_by_id(definitions.flags, flags, problems)),
        group_types=definitions.group_types,
        matching=Matching(
            definitions.property_matching_version, time_zone(definitions.timezone) or UTC
        ),
    )


def _keys_by_id(
    rows: Mapping[str, Row],
    flags: Mapping[str, FlagDefinition],
    problems: Mapping[str, Sequence[Problem]],
) -> Steps[Mapping[str, str]]:
    """Name the flags by their ids, also those that cannot be read: they are not missing."""
    keys: dict[str, str] = {}
    for key in {**problems, **flags}:
        flag_id = flags[key].id if key in flags else rows[key].get("id")
        if type(flag_id) is int and flag_id:
            keys[str(flag_id)] = key
        yield
    return keys


def _parsed(
    row: Row, known: FlagDefinition | None
) -> tuple[FlagDefinition | None, Sequence[Problem] | None]:
    try:
        return parse_flag(row), None
    except InvalidDefinitionError as error:
        return known, error.problems


def _readable(
    rows: Mapping[int, Row], before: ParsedProject | None
) -> Steps[Mapping[int, CohortDefinition]]:
    """Read cohorts; one that cannot be read is as if there were none: flags that name it fail."""
    cohorts: dict[int, CohortDefinition] = {}
    for cohort_id, row in rows.items():
        yield
        if before is not None and before.cohort_rows.get(cohort_id) is row:
            cohort = before.cohorts.get(cohort_id)
        else:
            cohort = _parsed_cohort(row)
        if cohort is not None:
            cohorts[cohort_id] = cohort
    return cohorts


def _parsed_cohort(row: Row) -> CohortDefinition | None:
    try:
        cohort = parse_cohort(row)
    except InvalidDefinitionError:
        return None
    return None if cohort.deleted else cohort


def time_zone(name: str) -> ZoneInfo | None:
    """Find a time zone by its name; None where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
