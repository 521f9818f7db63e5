"""From a stored row to a definition, or to everything that is wrong with it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from flagstream.errors import InvalidDefinitionError, Problem

from .model import (
    CohortDefinition,
    Condition,
    FlagDefinition,
    Part,
    PropertyFilter,
    PropertyGroup,
)
from .patterns import PatternError, compile_pattern
from .walk import (
    Path,
    Row,
    cohort_levels,
    condition_tests,
    conditions,
    group_tests,
    json_path,
    list_of,
    object_of,
    objects,
)

MAX_LEVELS = 16
"""Of groups within groups in a cohort."""

_COHORT_OPERATORS = (None, "exact", "in", "not_in")
PROPERTY_TYPES = ("person", "group", "person_metadata")
_OTHER_OPERATORS = ("in", "not_in", "flag_evaluates_to")

_Found = Iterator[tuple[Path, str, Any]]
_P = TypeVar("_P", bound=Part)


def parse_flag(row: Row) -> FlagDefinition:
    """
    Check a row and bring it into canonical form.

    Operators get their canonical names, payloads become JSON text, members of unknown names are
    dropped. What would change an answer and is not supported is refused.

    Raises:
        InvalidDefinitionError: With all problems, each with its JSON path, what was expected
            and what was found.
    """
    return parse_as(FlagDefinition, row, _FLAG_CHECKS)


def parse_cohort(row: Row) -> CohortDefinition:
    """
    Check a cohort's row and bring it into canonical form, likewise.

    Raises:
        InvalidDefinitionError: With all problems.
    """
    return parse_as(CohortDefinition, row, _COHORT_CHECKS)


def parse_as(model: type[_P], row: Row, checks: Sequence[Callable[[Row], _Found]] = ()) -> _P:
    """
    Check that something has the shape of a model, and whatever else there is to check.

    Raises:
        InvalidDefinitionError: With all problems.
    """
    problems: list[Problem] = []
    definition: _P | None = None
    try:
        definition = model.model_validate(row)
    except ValidationError as error:
        problems.extend(map(_problem, error.errors(include_url=False)))
    # On the row, so that they find theirs also where something else is wrong.
    known = {problem.path for problem in problems}
    for check in checks:
        for path, expected, got in check(row):
            if (at := json_path(path)) not in known:
                problems.append(Problem(path=at, expected=expected, got=got))
    if definition is None or problems:
        raise InvalidDefinitionError(problems)
    return definition


def aggregation(definition: FlagDefinition, condition: Condition) -> int | None:
    """Tell which type of group a condition is about; None is the person."""
    is_own = "aggregation_group_type_index" in condition.model_fields_set
    return (condition if is_own else definition.filters).aggregation_group_type_index


def source(test: PropertyFilter, aggregated: int | None) -> int | None:
    """
    Tell whose property a filter tests: a type of group, or None for the person.

    Args:
        aggregated: What the filter's condition is about.
    """
    if test.type != "group":
        return None
    return aggregated if test.group_type_index is None else test.group_type_index


def is_alone(definition: FlagDefinition) -> bool:
    """Tell whether a flag names neither cohorts nor other flags."""
    return all(test.type in PROPERTY_TYPES for test in definition.tests)


def leaves(group: PropertyGroup) -> Iterator[PropertyFilter]:
    """Walk through all tests of a cohort."""
    for each in groups(group):
        yield from (entry for entry in each.values if not isinstance(entry, PropertyGroup))


def groups(group: PropertyGroup) -> Iterator[PropertyGroup]:
    """Walk through a group and all groups within it."""
    pending = [group]
    while pending:
        each = pending.pop()
        pending.extend(entry for entry in each.values if isinstance(entry, PropertyGroup))
        yield each


def levels(group: PropertyGroup) -> int:
    """Count how deep groups are within groups."""
    count, level = 0, [group]
    while level:
        count += 1
        entries = [entry for each in level for entry in each.values]
        level = [entry for entry in entries if isinstance(entry, PropertyGroup)]
    return count


def _check_tests(row: Row) -> _Found:
    """A test of a group's property must say of which group, or stand in a condition about one."""
    filters, of_filters = object_of(row.get("filters")), list[tuple[Path, str, Any]]()
    for path, condition in conditions(row):
        is_own = "aggregation_group_type_index" in condition
        about = (condition if is_own else filters).get("aggregation_group_type_index")
        for at, test in condition_tests(path, condition):
            kind = test.get("type")
            if kind == "group" and about is None and test.get("group_type_index") is None:
                yield (*at, "group_type_index"), "the index of a group type", None
            elif kind == "behavioral":
                yield (*at, "type"), "no behavioral test outside of a cohort", kind
            of_filters.extend(_check_filter(at, test))
    yield from of_filters


def _check_filter(path: Path, test: Row) -> _Found:
    """An operator must suit what is tested, and a value the operator."""
    operator, value = test.get("operator"), test.get("value")
    if test.get("type") == "cohort":
        if operator not in _COHORT_OPERATORS:
            yield (*path, "operator"), "'in' or 'not_in'", operator
        if type(value) is not int:
            yield (*path, "value"), "the id of a cohort", value
    elif test.get("type") in PROPERTY_TYPES:
        if operator in _OTHER_OPERATORS:
            yield (*path, "operator"), "an operator for properties", operator
        expected = _pattern_problem(value) if operator in ("regex", "not_regex") else None
        if expected is not None:
            yield (*path, "value"), expected, value


def _pattern_problem(pattern: Any) -> str | None:
    if pattern is None:
        return None
    if not isinstance(pattern, str):
        return "a regular expression"
    try:
        compile_pattern(pattern)
    except PatternError as error:
        return f"a regular expression of RE2 ({error})"
    return None


def _check_variants(row: Row) -> _Found:
    multivariate = object_of(object_of(row.get("filters")).get("multivariate"))
    if not multivariate:
        return
    seen: set[str] = set()
    path = ("filters", "multivariate", "variants")
    for at, variant in objects(path, multivariate.get("variants")):
        key = variant.get("key")
        if not isinstance(key, str):
            continue
        if key in seen:
            yield (*at, "key"), "a key that no other variant has", key
        seen.add(key)


def _check_members(row: Row) -> _Found:
    is_continuous = row.get("ensure_experience_continuity")
    if is_continuous and row.get("bucketing_identifier") == "device_id":
        path = ("ensure_experience_continuity",)
        yield path, "false, as the flag is bucketed by device", is_continuous
    if row.get("archived") is True and row.get("active", True) is True:
        yield ("active",), "false, as the flag is archived", True


def _check_cohort(row: Row) -> _Found:
    """A cohort of groups looks at those groups alone, a cohort of persons never at groups."""
    own = row.get("group_type_index")
    if list_of(row.get("members")) and row.get("is_static") is not True:
        yield ("members",), "no members, as the cohort is not static", row["members"]
    for depth, level in enumerate(cohort_levels(row)):
        if depth == MAX_LEVELS:
            path, group = level[0]
            yield path, f"at most {MAX_LEVELS} levels of groups", group
            return
        for path, group in level:
            for at, leaf in group_tests(path, group):
                yield from _check_leaf(at, leaf, own)


def _check_leaf(path: Path, leaf: Row, own: Any) -> _Found:
    yield from _check_filter(path, leaf)
    kind, index = leaf.get("type"), leaf.get("group_type_index")
    if own is None and kind == "group":
        yield (*path, "type"), "a test of persons, as the cohort is of persons", kind
    elif own is not None and kind in ("person", "person_metadata", "behavioral"):
        yield (*path, "type"), "a test of groups, as the cohort is of groups", kind
    elif kind == "group" and index is not None and index != own:
        yield (*path, "group_type_index"), f"{own}, the cohort's own", index


_FLAG_CHECKS: Sequence[Callable[[Row], _Found]] = (
    _check_tests,
    _check_variants,
    _check_members,
)
_COHORT_CHECKS: Sequence[Callable[[Row], _Found]] = (_check_cohort,)


def _problem(error: Mapping[str, Any]) -> Problem:
    is_missing = error["type"] == "missing"
    return Problem(
        path=json_path(error["loc"]),
        expected="a value" if is_missing else error["msg"].removeprefix("Input should be "),
        got=None if is_missing else error["input"],
    )
