"""Property filters compiled to tests, with the edges that PostHog's server gives each operator."""

import json
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

from .bucketing import utf8
from .model import PropertyFilter
from .patterns import compile_pattern

Properties = Mapping[str, Any]
Test = Callable[[Properties], bool]
_Matches = Callable[[Any], bool]

_MISSING = object()
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGERS = range(-(2**63), 2**64)  # beyond, JSON numbers are read as floats
_NEGATIVE = {"is_not": "exact", "not_icontains": "icontains", "not_regex": "regex"}


def compile_test(test: PropertyFilter) -> Test:
    """
    Compile a filter.

    Returns:
        A total test of a mapping of properties. A property that is missing satisfies the negative
        operators and no other; null is a value like any other, with the text ``null``.
    """
    key = test.key
    if test.operator == "is_set":
        return lambda properties: key in properties
    if test.operator == "is_not_set":
        return lambda properties: key not in properties
    if test.value is None:
        return lambda _: False
    matches = _MATCHERS[_NEGATIVE.get(test.operator, test.operator)](test.value)
    return _unless(key, matches) if test.operator in _NEGATIVE else _when(key, matches)


def _when(key: str, matches: _Matches) -> Test:
    def holds(properties: Properties) -> bool:
        value = properties.get(key, _MISSING)
        return value is not _MISSING and matches(value)

    return holds


def _unless(key: str, matches: _Matches) -> Test:
    def holds(properties: Properties) -> bool:
        value = properties.get(key, _MISSING)
        return value is _MISSING or not matches(value)

    return holds


def _exact(wanted: Any) -> _Matches:
    """
    Compare texts in any case; or truth, where all that is wanted is true and false.

    Whatever is not true is false then: the filter ``false`` matches ``banana``, 0 and null.
    """
    if _is_boolean(wanted):
        truth = _is_true(wanted)
        return lambda value: _is_true(value) is truth
    members = _members(wanted)
    if members is not None:
        texts = {text(each).lower() for each in members}
        return lambda value: text(value).lower() in texts
    lowered = text(wanted).lower()
    return lambda value: (value if type(value) is str else text(value)).lower() == lowered


def _is_boolean(value: Any) -> bool:
    return all(
        isinstance(each, bool) or (isinstance(each, str) and each.lower() in {"true", "false"})
        for each in _leaves(value)
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
        members = _members(each)
        if members is None:
            leaves.append(each)
        else:
            pending.extend(members)
    return leaves


def _members(value: Any) -> Sequence[Any] | None:
    """Take a list for what it is; None for anything else."""
    return cast("Sequence[Any]", value) if isinstance(value, list) else None


def _icontains(wanted: Any) -> _Matches:
    # The lower case of bytes is that of ASCII alone, which is what the server folds.
    part = utf8(text(wanted)).lower()
    return lambda value: part in utf8(text(value)).lower()


def _regex(pattern: Any) -> _Matches:
    has_match = compile_pattern(pattern)
    return lambda value: has_match(utf8(text(value)))


def _compare(holds: Callable[[float, float], bool]) -> Callable[[Any], _Matches]:
    def make(wanted: Any) -> _Matches:
        bound = number(wanted)
        if bound is None:
            return lambda _: False

        def matches(value: Any) -> bool:
            given = number(value)
            return given is not None and holds(given, bound)

        return matches

    return make


_MATCHERS: Mapping[str, Callable[[Any], _Matches]] = {
    "exact": _exact,
    "icontains": _icontains,
    "regex": _regex,
    "gt": _compare(operator.gt),
    "gte": _compare(operator.ge),
    "lt": _compare(operator.lt),
    "lte": _compare(operator.le),
}


def number(value: Any) -> float | None:
    """Read a number or the text of one; None where it is neither, booleans included."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        return None
    try:
        parsed = float(value)
    except OverflowError:
        return None
    return parsed if math.isfinite(parsed) else None


def text(value: Any) -> str:
    """Read a value as text: a text as it is, anything else as compact JSON with sorted keys."""
    if isinstance(value, str):
        return value
    try:
        return _json_text(value)
    except RecursionError:  # far deeper than a request may be
        return "null"


def _json_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value in _INTEGERS else _float_text(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return _container_text(value)


def _container_text(value: Any) -> str:
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        pairs = (f"{_json_text(key)}:{_json_text(members[key])}" for key in sorted(members))
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_json_text, cast("list[Any]", value))) + "]"
    return "null"


def _float_text(value: float) -> str:
    """Write a float as the server does: ``0.00001``, ``1e-6``, ``1e+16``; null beyond floats."""
    try:
        shortest = repr(float(value))
    except OverflowError:
        return "null"
    if not math.isfinite(float(value)):
        return "null"
    mantissa, _, exponent = shortest.partition("e")
    if not exponent:
        return shortest
    if int(exponent) == -5:  # noqa: PLR2004 -- the one exponent that Python alone writes
        return format(Decimal(shortest), "f")
    return f"{mantissa}e{int(exponent):+d}"
