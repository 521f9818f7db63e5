"""Property filters compiled to tests, with the edges that PostHog's server gives each operator."""

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple

from .bucketing import utf8
from .dates import DATE_OPERATORS, compile_date
from .model import PropertyFilter
from .patterns import compile_pattern
from .values import each_of, members, number, text
from .versions import SEMVER_OPERATORS, compile_version

Properties = Mapping[str, Any]
Test = Callable[[Properties], bool]
Texts = tuple[str, tuple[str, ...]]
"""A property, and the texts of which it is to be one, in any case."""
TimedTest = Callable[[Properties, int], bool]
"""Of properties at a present, in Unix milliseconds."""
_Matches = Callable[[Any], bool]

_MISSING = object()
_EXPLICIT = 2  # the property matching version that compares true and false as texts
_NEGATIVE = {
    "is_not": "exact",
    "not_icontains": "icontains",
    "not_icontains_multi": "icontains_multi",
    "not_starts_with": "starts_with",
    "not_ends_with": "ends_with",
    "not_regex": "regex",
}


class Matching(NamedTuple):
    """
    How a project compares.

    Attributes:
        version: PostHog's ``property_matching_version``, 1 or 2.
        timezone: In which dates without an offset are read.
    """

    version: int
    timezone: tzinfo


def never(_: Properties) -> bool:
    """Match nobody: what a filter compiles to that is well-formed and yet can never match."""
    return False


def compile_test(test: PropertyFilter, matching: Matching) -> Test:
    """
    Compile a filter of a property, but for those on dates.

    Returns:
        A total test of a mapping of properties. A property that is missing satisfies the negative
        operators and no other; null is a value like any other, with the text ``null``.
        :func:`never` where nothing can match.
    """
    key, name, wanted = test.key, test.operator, test.value
    if name in _PRESENCE:
        return _PRESENCE[name](key)
    if wanted is None:
        return never
    if name in _RANGES:
        return _RANGES[name](key, wanted)
    texts = plain_texts(test, matching)
    if texts is not None:
        return _equals(*texts)
    matches = _matcher(_NEGATIVE.get(name, name), wanted, matching)
    if name in _NEGATIVE:
        return _unless(key, matches)
    return never if matches is None else _when(key, matches)


def plain_texts(test: PropertyFilter, matching: Matching) -> Texts | None:
    """Give the texts of which a filter wants one, in any case; None where it is another filter."""
    wanted = each_of(test.value)
    if test.operator != "exact" or not all(type(each) is str for each in wanted):
        return None
    return None if _is_truth(test.value, matching) else (test.key, tuple(wanted))


def compile_timed(test: PropertyFilter, matching: Matching) -> TimedTest | None:
    """
    Compile a filter on a date.

    Its answer may change with time alone: of the filter, and of a property, both may be relative.

    Returns:
        None where nothing can match.
    """
    key, matches = test.key, compile_date(test.operator, test.value, matching.timezone)
    if matches is None:
        return None

    def holds(properties: Properties, now_ms: int) -> bool:
        value = properties.get(key, _MISSING)
        return value is not _MISSING and matches(value, now_ms)

    return holds


def can_match(test: PropertyFilter, matching: Matching) -> bool:
    """Tell whether some value satisfies a property filter."""
    if test.operator in DATE_OPERATORS:
        return compile_timed(test, matching) is not None
    return compile_test(test, matching) is not never


def _when(key: str, matches: _Matches) -> Test:
    def holds(properties: Properties) -> bool:
        value = properties.get(key, _MISSING)
        return value is not _MISSING and matches(value)

    return holds


def _unless(key: str, matches: _Matches | None) -> Test:
    def holds(properties: Properties) -> bool:
        value = properties.get(key, _MISSING)
        return value is _MISSING or (matches is not None and not matches(value))

    return holds


def _equals(key: str, wanted: tuple[str, ...]) -> Test:
    """Compare texts in any case; most filters are this one."""
    lowered = frozenset(each.lower() for each in wanted)

    def holds(properties: Properties) -> bool:
        value = properties.get(key, _MISSING)
        if value in wanted:
            return True
        if type(value) is str:
            return value.lower() in lowered
        return value is not _MISSING and text(value).lower() in lowered

    return holds


def _between(key: str, wanted: Any) -> Test:
    bounds = _bounds(wanted)
    return never if bounds is None else _when(key, _in_range(*bounds))


def _not_between(key: str, wanted: Any) -> Test:
    """Take null for a number that is missing; whatever else is no number satisfies neither."""
    bounds = _bounds(wanted)
    is_inside = None if bounds is None else _in_range(*bounds)

    def holds(properties: Properties) -> bool:
        value = properties.get(key)
        if value is None:
            return True if key not in properties else is_inside is not None
        if is_inside is None or number(value) is None:
            return False
        return not is_inside(value)

    return holds


_PRESENCE: Mapping[str, Callable[[str], Test]] = {
    "is_set": lambda key: lambda properties: key in properties,
    "is_not_set": lambda key: lambda properties: key not in properties,
}
_RANGES: Mapping[str, Callable[[str, Any], Test]] = {
    "between": _between,
    "not_between": _not_between,
}


def _bounds(wanted: Any) -> tuple[float, float] | None:
    bounds = members(wanted)
    if bounds is None or len(bounds) != 2:  # noqa: PLR2004 -- from and to
        return None
    low, high = map(number, bounds)
    return None if low is None or high is None or low > high else (low, high)


def _in_range(low: float, high: float) -> _Matches:
    def matches(value: Any) -> bool:
        given = number(value)
        return given is not None and low <= given <= high

    return matches


def _matcher(name: str, wanted: Any, matching: Matching) -> _Matches | None:
    if name == "exact":
        return _exact(wanted, matching)
    if name in SEMVER_OPERATORS:
        return compile_version(name, wanted)
    return _MATCHERS[name](wanted)


def _exact(wanted: Any, matching: Matching) -> _Matches:
    """
    Compare texts in any case; or truth, where all that is wanted is true and false.

    Whatever is not true is false then: the filter ``false`` matches ``banana``, 0 and null.
    """
    if _is_truth(wanted, matching):
        truth = _is_true(wanted)
        return lambda value: _is_true(value) is truth
    texts = {text(each).lower() for each in each_of(wanted)}
    return lambda value: (value if type(value) is str else text(value)).lower() in texts


def _is_truth(wanted: Any, matching: Matching) -> bool:
    """Tell whether truth is compared and not texts; an empty list means truth in both versions."""
    return (matching.version != _EXPLICIT or wanted == []) and all(
        isinstance(each, bool) or (isinstance(each, str) and each.lower() in {"true", "false"})
        for each in _leaves(wanted)
    )


def _is_true(value: Any) -> bool:
    return all(
        each is True or (isinstance(each, str) and each.lower() == "true")
        for each in _leaves(value)
    )


def _leaves(value: Any) -> Sequence[Any]:
    """Collect what is in nested lists; of no list, the value itself."""
    leaves: list[Any] = []
    pending: list[Any] = [value]
    while pending:
        each = pending.pop()
        inner = members(each)
        if inner is None:
            leaves.append(each)
        else:
            pending.extend(inner)
    return leaves


def _folded(value: Any) -> bytes:
    """Fold the case of ASCII alone, as the server does: that is the lower case of bytes."""
    return utf8(value if type(value) is str else text(value)).lower()


def _icontains(wanted: Any) -> _Matches:
    part = _folded(wanted)
    return lambda value: part in _folded(value)


def _icontains_multi(wanted: Any) -> _Matches:
    parts = [_folded(each) for each in each_of(wanted)]

    def matches(value: Any) -> bool:
        folded = _folded(value)
        return any(part in folded for part in parts)

    return matches


def _starts_with(wanted: Any) -> _Matches:
    part = _folded(wanted)
    return lambda value: _folded(value).startswith(part)


def _ends_with(wanted: Any) -> _Matches:
    part = _folded(wanted)
    return lambda value: _folded(value).endswith(part)


def _regex(pattern: Any) -> _Matches:
    has_match = compile_pattern(pattern)
    return lambda value: has_match(utf8(text(value)))


def _compare(holds: Callable[[float, float], bool]) -> Callable[[Any], _Matches | None]:
    def make(wanted: Any) -> _Matches | None:
        bound = number(wanted)
        if bound is None:
            return None

        def matches(value: Any) -> bool:
            given = number(value)
            return given is not None and holds(given, bound)

        return matches

    return make


_MATCHERS: Mapping[str, Callable[[Any], _Matches | None]] = {
    "icontains": _icontains,
    "icontains_multi": _icontains_multi,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "regex": _regex,
    "gt": _compare(operator.gt),
    "gte": _compare(operator.ge),
    "lt": _compare(operator.lt),
    "lte": _compare(operator.le),
}
