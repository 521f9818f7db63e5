"""From a stored row to a definition, or to everything that is wrong with it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from flagstream.errors import InvalidDefinitionError, Problem

from .model import Condition, FlagDefinition, PropertyFilter
from .patterns import PatternError, compile_pattern

_Path = tuple[int | str, ...]
_Found = Iterator[tuple[_Path, str, Any]]


def parse_flag(row: Mapping[str, Any]) -> FlagDefinition:
    """
    Check a row and bring it into canonical form.

    Operators get their canonical names, payloads become JSON text, members of unknown names are
    dropped. What would change an answer and is not supported is refused.

    Raises:
        InvalidDefinitionError: With all problems, each with its JSON path, what was expected
            and what was found.
    """
    try:
        definition = FlagDefinition.model_validate(row)
    except ValidationError as error:
        raise InvalidDefinitionError([*map(_problem, error.errors(include_url=False))]) from None
    problems = [
        Problem(path=_json_path(path), expected=expected, got=got)
        for check in _CHECKS
        for path, expected, got in check(definition)
    ]
    if problems:
        raise InvalidDefinitionError(problems)
    return definition


def aggregation(definition: FlagDefinition, condition: Condition) -> int | None:
    """Tell which type of group a condition is about; None is the person."""
    given = condition if _names_aggregation(condition) else definition.filters
    return given.aggregation_group_type_index


def _names_aggregation(condition: Condition) -> bool:
    return "aggregation_group_type_index" in condition.model_fields_set


def source(test: PropertyFilter, aggregated: int | None) -> int | None:
    """
    Tell whose property a filter tests: a type of group, or None for the person.

    Args:
        aggregated: What the filter's condition is about.
    """
    if test.type == "person":
        return None
    return aggregated if test.group_type_index is None else test.group_type_index


def _check_sources(definition: FlagDefinition) -> _Found:
    for path, condition, test in _filters(definition):
        if test.type == "group" and source(test, aggregation(definition, condition)) is None:
            yield (*path, "group_type_index"), "the index of a group type", None


def _check_patterns(definition: FlagDefinition) -> _Found:
    for path, _, test in _filters(definition):
        if test.operator not in {"regex", "not_regex"} or test.value is None:
            continue
        if not isinstance(test.value, str):
            yield (*path, "value"), "a regular expression", test.value
            continue
        try:
            compile_pattern(test.value)
        except PatternError as error:
            yield (*path, "value"), f"a regular expression of RE2 ({error})", test.value


def _check_variants(definition: FlagDefinition) -> _Found:
    multivariate = definition.filters.multivariate
    variants = (multivariate and multivariate.variants) or ()
    seen: set[str] = set()
    for index, variant in enumerate(variants):
        if variant.key in seen:
            path = ("filters", "multivariate", "variants", index, "key")
            yield path, "a key that no other variant has", variant.key
        seen.add(variant.key)


def _check_identifier(definition: FlagDefinition) -> _Found:
    if definition.ensure_experience_continuity and definition.bucketing_identifier == "device_id":
        path = ("ensure_experience_continuity",)
        yield (
            path,
            "false, as the flag is bucketed by device",
            definition.ensure_experience_continuity,
        )


_CHECKS: Sequence[Callable[[FlagDefinition], _Found]] = (
    _check_sources,
    _check_patterns,
    _check_variants,
    _check_identifier,
)


def _filters(definition: FlagDefinition) -> Iterator[tuple[_Path, Condition, PropertyFilter]]:
    for at, condition in enumerate(definition.filters.groups or ()):
        for index, test in enumerate(condition.properties or ()):
            yield ("filters", "groups", at, "properties", index), condition, test


def _problem(error: Mapping[str, Any]) -> Problem:
    is_missing = error["type"] == "missing"
    return Problem(
        path=_json_path(error["loc"]),
        expected="a value" if is_missing else error["msg"].removeprefix("Input should be "),
        got=None if is_missing else error["input"],
    )


def _json_path(path: _Path) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
