"""What is well-formed and yet not what anybody wants: told to whoever writes definitions."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .compilation import CompiledProject
from .model import Condition, FlagDefinition, PropertyFilter
from .operators import can_match
from .parse import PROPERTY_TYPES, aggregation, source
from .project import ParsedProject
from .values import each_of, number, text

_WHOLE = 100
_ROUNDING = 0.01  # three thirds of a hundred need not make a whole
_LOWER = {"gt", "gte"}
_UPPER = {"lt", "lte"}


class Lint(NamedTuple):
    """
    One thing that nobody wants.

    Attributes:
        path: JSON path within the flag.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def lint(
    definition: FlagDefinition, project: CompiledProject, *, knows_group_types: bool = True
) -> Sequence[Lint]:
    """
    Look through a flag.

    Args:
        project: That the flag is part of.
        knows_group_types: Whether *project* knows the types of groups that there are.
    """
    parsed = project.parsed
    found = [
        *_conditions(definition, parsed),
        *_unreached(definition),
        *_variants(definition),
        *_dependencies(definition, project),
    ]
    if knows_group_types:
        found.extend(_group_types(definition, set(parsed.group_types.values())))
    return found


def _conditions(definition: FlagDefinition, project: ParsedProject) -> Iterator[Lint]:
    for path, condition in _paths(definition):
        tests = condition.tests
        impossible = [at for at, test in enumerate(tests) if not _can_be_met(test, project)]
        for at in impossible:
            yield Lint(
                f"{path}.properties[{at}]",
                f"the condition can never match: nothing satisfies {_quoted(tests[at])}",
            )
        if not impossible:
            for name in _contradictions(tests, aggregation(definition, condition)):
                message = f"the condition can never match: its filters on {name} exclude each other"
                yield Lint(f"{path}.properties", message)


def _can_be_met(test: PropertyFilter, project: ParsedProject) -> bool:
    if test.type == "flag":
        return test.operator == "flag_evaluates_to" and isinstance(test.value, bool | str)
    return test.type not in PROPERTY_TYPES or can_match(test, project.matching)


def _contradictions(tests: Iterable[PropertyFilter], aggregated: int | None) -> Iterator[str]:
    """Find the properties of which a condition wants what cannot be at once."""
    by_property: defaultdict[tuple[str, int | None, str], list[PropertyFilter]] = defaultdict(list)
    for test in tests:
        if test.type in PROPERTY_TYPES:
            by_property[test.type, source(test, aggregated), test.key].append(test)
    for (_, _, name), same in by_property.items():
        if _excludes_presence(same) or _excludes_values(same) or _excludes_numbers(same):
            yield name


def _excludes_presence(tests: Sequence[PropertyFilter]) -> bool:
    operators = {test.operator for test in tests}
    needs_value = any(
        operator != "is_not_set" and not operator.startswith("not_") and operator != "is_not"
        for operator in operators
    )
    return "is_not_set" in operators and needs_value


def _excludes_values(tests: Sequence[PropertyFilter]) -> bool:
    wanted = [_texts(test) for test in tests if test.operator == "exact"]
    if not wanted:
        return False
    left = set[str].intersection(*wanted)
    left -= {each for test in tests if test.operator == "is_not" for each in _texts(test)}
    return not left


def _texts(test: PropertyFilter) -> set[str]:
    return {text(each).lower() for each in each_of(test.value)}


def _excludes_numbers(tests: Sequence[PropertyFilter]) -> bool:
    lower = [(number(test.value), test.operator) for test in tests if test.operator in _LOWER]
    upper = [(number(test.value), test.operator) for test in tests if test.operator in _UPPER]
    return any(
        low is not None
        and high is not None
        and (low > high or (low == high and (of, to) != ("gte", "lte")))
        for low, of in lower
        for high, to in upper
    )


def _unreached(definition: FlagDefinition) -> Iterator[Lint]:
    """Find conditions behind one that matches whoever comes to it."""
    taken: dict[int | None, int] = {}
    for at, (path, condition) in enumerate(_paths(definition)):
        aggregated = aggregation(definition, condition)
        before = taken.get(aggregated, taken.get(None))
        if before is not None:
            message = f"the condition can never match: condition {before + 1} takes everybody"
            yield Lint(path, message)
        is_whole = condition.rollout_percentage in (None, _WHOLE)
        is_by_device = aggregated is None and definition.bucketing_identifier == "device_id"
        if is_whole and not condition.properties and not is_by_device:
            taken.setdefault(aggregated, at)


def _variants(definition: FlagDefinition) -> Iterator[Lint]:
    variants = definition.variants
    keys = [variant.key for variant in variants]
    total = sum(variant.rollout_percentage for variant in variants)
    path = "$.filters.multivariate.variants"
    if variants and total < _WHOLE - _ROUNDING:
        yield Lint(path, f"the shares add up to {total:g}: the rest gets no variant")
    if total > _WHOLE + _ROUNDING:
        yield Lint(path, f"the shares add up to {total:g}: the last variants get less than theirs")
    for at, condition in _paths(definition):
        if condition.variant and condition.variant not in keys:
            yield Lint(f"{at}.variant", f"the flag has no variant {condition.variant!r}")
    for name in definition.filters.payloads or ():
        if name not in ("true", *keys) and not name.startswith("holdout-"):
            yield Lint(f"$.filters.payloads.{name}", "the flag has no variant of this name")


def _dependencies(definition: FlagDefinition, project: CompiledProject) -> Iterator[Lint]:
    parsed = project.parsed
    for path, condition in _paths(definition):
        for at, test in enumerate(condition.tests):
            key = parsed.resolve(test) if test.type == "flag" else None
            place = f"{path}.properties[{at}]"
            if key is not None and parsed.is_off(key):
                yield Lint(place, f"the flag {key!r} is not active, so it is false for everybody")
            elif key is not None and {key, definition.key} <= set(project.missing):
                yield Lint(place, f"the flag {key!r} depends on what depends on it, or is missing")


def _group_types(definition: FlagDefinition, known: set[int]) -> Iterator[Lint]:
    index = definition.filters.aggregation_group_type_index
    if index is not None and index not in known:
        yield Lint("$.filters.aggregation_group_type_index", _no_type(index))
    for path, condition in _paths(definition):
        index = condition.aggregation_group_type_index
        if index is not None and index not in known:
            yield Lint(f"{path}.aggregation_group_type_index", _no_type(index))
        for at, test in enumerate(condition.tests):
            index = test.group_type_index
            if test.type == "group" and index is not None and index not in known:
                yield Lint(f"{path}.properties[{at}].group_type_index", _no_type(index))


def _no_type(index: int) -> str:
    return f"the project has no group type with index {index}"


def _paths(definition: FlagDefinition) -> Sequence[tuple[str, Condition]]:
    return [
        (f"$.filters.groups[{at}]", condition) for at, condition in enumerate(definition.conditions)
    ]


def _quoted(test: PropertyFilter) -> str:
    return f"{test.operator} {text(test.value)[:80]}"
