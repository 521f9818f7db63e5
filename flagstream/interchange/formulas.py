"""Rules over properties, and the form that they have in a flag: alternatives of filters."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

MAX_CONDITIONS = 64
# What flagstream compares as a number, and what as a version; anything else satisfies no bound.
_NUMBER = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_VERSION = r"^v?\s*[0-9]+(?:\.[0-9]+){0,2}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?\s*$"
_OPPOSITE = {
    "regex": "not_regex",
    "not_regex": "regex",
    "is_set": "is_not_set",
    "is_not_set": "is_set",
    "exact": "is_not",
    "is_not": "exact",
    "icontains": "not_icontains",
    "not_icontains": "icontains",
    "starts_with": "not_starts_with",
    "not_starts_with": "starts_with",
    "ends_with": "not_ends_with",
    "not_ends_with": "ends_with",
}
_IN_ANY_CASE = ("exact", "icontains", "starts_with", "ends_with")
_OPPOSITE_BOUND = {
    "lt": "gte",
    "gte": "lt",
    "lte": "gt",
    "gt": "lte",
    "between": "not_between",
    "not_between": "between",
}
_OPPOSITE_VERSION = {
    "semver_eq": "semver_neq",
    "semver_neq": "semver_eq",
    "semver_lt": "semver_gte",
    "semver_gte": "semver_lt",
    "semver_lte": "semver_gt",
    "semver_gt": "semver_lte",
}
# Who lacks the property satisfies none of them.
_POSITIVE = {"regex", "is_set", *_IN_ANY_CASE, *_OPPOSITE_BOUND, *_OPPOSITE_VERSION} - {
    "not_between"
}

_TIGHTEST: Mapping[str, Callable[[list[Any]], Any]] = {
    "gt": max,
    "gte": max,
    "lt": min,
    "lte": min,
    "between": max,
}


class TooManyError(Exception):
    """A rule has more alternatives than a flag should have conditions."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of a property, without whose it is."""

    key: str
    operator: str
    value: Any = None

    def about(self, of: Mapping[str, Any]) -> dict[str, Any]:
        """
        Write it as a filter.

        Args:
            of: Whose property it is.
        """
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        # Of what takes no value PostHog's pages write its own name.
        written = self.operator if value is None else value
        return {"key": self.key, **of, "operator": self.operator, "value": written}


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds where all parts do; without any it always does."""

    parts: tuple["Formula", ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds where any part does; without any it never does."""

    parts: tuple["Formula", ...] = ()


Formula: TypeAlias = Filter | AllOf | AnyOf
TRUE, FALSE = AllOf(), AnyOf()


def constant(*, value: bool) -> Formula:
    """Make what always holds, or never."""
    return TRUE if value else FALSE


def negated(formula: Formula) -> Formula:
    """
    Turn a formula around, for every value that a property may have, and for none.

    Bounds are satisfied by neither side of what is no number, so that is said in addition.
    """
    if isinstance(formula, AllOf):
        return AnyOf(tuple(map(negated, formula.parts)))
    if isinstance(formula, AnyOf):
        return AllOf(tuple(map(negated, formula.parts)))
    key, operator, value = formula.key, formula.operator, formula.value
    if operator in _OPPOSITE:
        return Filter(key, _OPPOSITE[operator], value)
    if operator in _OPPOSITE_BOUND:
        return AnyOf(
            (Filter(key, _OPPOSITE_BOUND[operator], value), Filter(key, "not_regex", _NUMBER))
        )
    opposite = Filter(key, _OPPOSITE_VERSION[operator], value)
    return AnyOf((opposite, Filter(key, "not_regex", _VERSION)))


def alternatives(formula: Formula) -> Sequence[Sequence[Filter]]:
    """
    Write a formula as alternatives, each of tests that all have to hold.

    Raises:
        TooManyError: There are more than a flag should have conditions.
    """
    found = [_simplified(each) for each in _alternatives(formula) if _is_possible(each)]
    # One that asks for less is enough without those that ask for that and more.
    kept = [
        each
        for at, each in enumerate(found)
        if not any(
            other < each or (other == each and before < at) for before, other in enumerate(found)
        )
    ]
    return [
        sorted(each, key=lambda test: (test.key, test.operator, str(test.value))) for each in kept
    ]


def _is_possible(tests: frozenset[Filter]) -> bool:
    """Tell whether nothing is asked together with its opposite."""
    present = {test.key for test in tests if test.operator in _POSITIVE}
    return not any(
        Filter(test.key, _OPPOSITE.get(test.operator, ""), test.value) in tests
        or (test.operator == "is_not_set" and test.key in present)
        for test in tests
    )


def _simplified(tests: frozenset[Filter]) -> frozenset[Filter]:
    """Leave out that a property is there, where another test asks for more; join bounds."""
    kept: set[Filter] = set()
    for key in {test.key for test in tests}:
        own = {test for test in tests if test.key == key}
        if any(test.operator in _POSITIVE - {"is_set"} for test in own):
            own.discard(Filter(key, "is_set"))
        kept |= _joined(key, own)
    return frozenset(kept)


def _joined(key: str, tests: set[Filter]) -> set[Filter]:
    """Keep of the bounds of one property the tightest."""
    bounds = {test for test in tests if _is_bound(test)}
    values: dict[str, list[float]] = {name: [] for name in _TIGHTEST}
    for test in bounds:
        if test.operator == "between":
            values["gte"].append(test.value[0])
            values["lte"].append(test.value[1])
        else:
            values[test.operator].append(test.value)
    tightest = {name: _TIGHTEST[name](each) for name, each in values.items() if each}
    if "gte" in tightest and "lte" in tightest:
        tightest["between"] = (tightest.pop("gte"), tightest.pop("lte"))
    return (tests - bounds) | {Filter(key, name, value) for name, value in tightest.items()}


def _is_bound(test: Filter) -> bool:
    if test.operator not in _TIGHTEST:
        return False
    values = test.value if test.operator == "between" else (test.value,)
    is_pair = isinstance(values, tuple) and len(values) == (2 if test.operator == "between" else 1)
    return is_pair and all(type(each) in (int, float) for each in values)


def _alternatives(formula: Formula) -> list[frozenset[Filter]]:
    if isinstance(formula, Filter):
        return [frozenset([formula])]
    if isinstance(formula, AnyOf):
        return _bounded(each for part in formula.parts for each in _alternatives(part))
    found: list[frozenset[Filter]] = [frozenset()]
    for part in formula.parts:
        others = _alternatives(part)
        found = _bounded(one | other for one in found for other in others)
    return found


def _bounded(found: Iterable[frozenset[Filter]]) -> list[frozenset[Filter]]:
    kept: dict[frozenset[Filter], None] = {}
    for each in found:
        kept[each] = None
        if len(kept) > MAX_CONDITIONS:
            raise TooManyError
    return list(kept)


def quoted(text: str) -> str:
    """Write a text as a pattern that finds just this."""
    return re.sub(r"[\\.^$*+?{}\[\]|()]", r"\\\g<0>", text)


def equal_text(key: str, texts: Sequence[str]) -> Filter:
    """Test that a property is one of some texts, with their case."""
    patterns = list(map(quoted, texts))
    return Filter(key, "regex", f"^{_one_of(patterns)}$")


def _one_of(patterns: Sequence[str]) -> str:
    return patterns[0] if len(patterns) == 1 else f"(?:{'|'.join(patterns)})"


def begins_with(key: str, text: str) -> Filter:
    """Test that a property begins with a text, with its case."""
    return Filter(key, "regex", f"^{quoted(text)}")


def ends_with(key: str, text: str) -> Filter:
    """Test that a property ends so."""
    return Filter(key, "regex", f"{quoted(text)}$")


def contains(key: str, text: str) -> Filter:
    """
    Test that a property is a text with this part, or a list with this member.

    A text that begins with a bracket is taken for a list.
    """
    part, member = quoted(text), quoted(json.dumps(text, ensure_ascii=False))
    in_text = rf"(?:[^\[](?s:.*))?{part}" if text else r"(?:[^\[]|$)"
    in_list = rf"\[(?:(?s:.*),)?{member}(?:,(?s:.*))?\]$"
    return Filter(key, "regex", f"^(?:{in_text}|{in_list})")


def equal_number(key: str, number: float) -> Filter:
    """Test that a property is a number, however it is written."""
    return Filter(key, "between", (number, number))


def is_true(key: str) -> Filter:
    """Test that a property is true."""
    return Filter(key, "regex", "^true$")


def is_truthy(key: str) -> Formula:
    """Test that a property is there and not one of the values that count as false."""
    return AllOf(
        (Filter(key, "is_set"), Filter(key, "not_regex", r"^(?:false|null|-?0(?:\.0)?|\[\])?$"))
    )


def equal_in_any_case(key: str, *texts: str) -> Filter:
    """Test that a property is one of some texts, in any case."""
    # Of these words `exact` compares the truth.
    if all(text.isascii() and text.lower() not in ("true", "false") for text in texts):
        return Filter(key, "exact", texts)
    return Filter(key, "regex", f"(?i)^{_one_of(list(map(quoted, texts)))}$")


def contains_in_any_case(key: str, text: str) -> Filter:
    """Test that a property has a part, in any case."""
    return _in_any_case(key, "icontains", text, quoted(text))


def begins_in_any_case(key: str, text: str) -> Filter:
    """Test that a property begins with a text, in any case."""
    return _in_any_case(key, "starts_with", text, f"^{quoted(text)}")


def ends_in_any_case(key: str, text: str) -> Filter:
    """Test that a property ends with a text, in any case."""
    return _in_any_case(key, "ends_with", text, f"{quoted(text)}$")


def _in_any_case(key: str, operator: str, text: str, pattern: str) -> Filter:
    # The operators know the case of A to Z alone.
    return Filter(key, operator, text) if text.isascii() else Filter(key, "regex", f"(?i){pattern}")
