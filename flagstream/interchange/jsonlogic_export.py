"""Filters written as rules of flagd that hold for the same values."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from flagstream.flags.values import number

from .formulas import Filter, begins_with, contains, ends_with, equal_text
from .versions import OPERATORS, normalized

_BOUNDS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_VERSIONS = {name: operator for operator, name in OPERATORS.items()}
_QUOTED = re.compile(r"\\(.)", re.DOTALL)
_CHARACTER = re.compile(r"\\?.", re.DOTALL)
# What `contains` writes around a part.
_BEFORE_PART, _BEHIND_PART = r"^(?:(?:[^\[](?s:.*))?", r"|\[(?:(?s:.*),)?"


def logic_of(test: Filter, key_property: str) -> dict[str, Any] | None:
    """
    Write a filter; None where there is no such rule.

    Args:
        key_property: The property that is the targeting key.
    """
    if "." in test.key or not test.key:
        return None
    attribute = {"var": "targetingKey" if test.key == key_property else test.key}
    write = _WRITERS.get(test.operator)
    return None if write is None else write(test, attribute)


def _presence(test: Filter, attribute: Any) -> dict[str, Any]:
    # Strictly: else one of flagd's evaluators takes 0 for missing.
    return {"!==" if test.operator == "is_set" else "===": [attribute, None]}


def _version(test: Filter, attribute: Any) -> dict[str, Any] | None:
    version = normalized(str(test.value))
    operator = _VERSIONS[test.operator]
    return None if version is None else {"sem_ver": [attribute, operator, version]}


def _text(test: Filter, attribute: Any) -> dict[str, Any] | None:
    found = _pattern(test, attribute)
    return found if test.operator == "regex" or found is None else _opposite(found)


def _bound(test: Filter, attribute: Any) -> dict[str, Any] | None:
    bound = number(test.value)
    if bound is None:
        return None
    return _of_present({_BOUNDS[test.operator]: [attribute, _plain(bound)]}, attribute, bound)


def _of_present(rule: dict[str, Any], attribute: Any, bound: float) -> dict[str, Any]:
    """Leave out who lacks the attribute, whom flagd takes for 0."""
    holds: Mapping[str, bool] = {"<": bound > 0, "<=": bound >= 0, ">": bound < 0, ">=": bound <= 0}
    if holds[next(iter(rule))]:
        return {"and": [{"!==": [attribute, None]}, rule]}
    return rule


def _between(test: Filter, attribute: Any) -> dict[str, Any] | None:
    bounds = test.value
    if not isinstance(bounds, tuple) or len(bounds) != 2:  # noqa: PLR2004
        return None
    low, high = number(bounds[0]), number(bounds[1])
    if low is None or high is None:
        return None
    if low == high:
        # Of 0 flagd's evaluators think differently, unless types are compared as well.
        return {"==" if low else "===": [attribute, _plain(low)]}
    rule = {"<=": [_plain(low), attribute, _plain(high)]}
    return {"and": [{"!==": [attribute, None]}, rule]} if low <= 0 <= high else rule


def _plain(value: float) -> float:
    return int(value) if value.is_integer() else value


def _pattern(test: Filter, attribute: Any) -> dict[str, Any] | None:
    """Write a pattern that says something simple; None for others."""
    pattern = test.value
    if not isinstance(pattern, str):
        return None
    if pattern in ("^true$", "^false$"):
        word = pattern[1:-1]
        return {"in": [attribute, [word == "true", word]]}
    texts = _texts(pattern)
    part = _unquoted(pattern.removeprefix(_BEFORE_PART).partition(_BEHIND_PART)[0])
    first, last = _unquoted(pattern[1:]), _unquoted(pattern[:-1])
    candidates: tuple[tuple[Filter, dict[str, Any]], ...] = (
        (equal_text(test.key, texts[:1]), {"==": [attribute, *texts[:1]]}),
        (equal_text(test.key, texts), {"in": [attribute, texts]}),
        (begins_with(test.key, first), {"starts_with": [attribute, first]}),
        (ends_with(test.key, last), {"ends_with": [attribute, last]}),
        (contains(test.key, part), {"in": [part, attribute]}),
    )
    return next((rule for found, rule in candidates if found.value == pattern), None)


def _texts(pattern: str) -> list[str]:
    """Take the texts apart that a pattern may find."""
    body = pattern.removeprefix("^").removesuffix("$")
    if not (body.startswith("(?:") and body.endswith(")")):
        return [_unquoted(body)]
    parts = [""]
    for found in _CHARACTER.findall(body[3:-1]):
        if found == "|":
            parts.append("")
        else:
            parts[-1] += found
    return list(map(_unquoted, parts))


def _unquoted(pattern: str) -> str:
    return _QUOTED.sub(r"\1", pattern)


def _opposite(rule: dict[str, Any]) -> dict[str, Any]:
    ((operator, arguments),) = rule.items()
    return {"!=": arguments} if operator == "==" else {"!": [rule]}


_WRITERS: Mapping[str, Callable[[Filter, Any], dict[str, Any] | None]] = {
    **dict.fromkeys(("is_set", "is_not_set"), _presence),
    **dict.fromkeys(_BOUNDS, _bound),
    **dict.fromkeys(_VERSIONS, _version),
    **dict.fromkeys(("regex", "not_regex"), _text),
    "between": _between,
}
