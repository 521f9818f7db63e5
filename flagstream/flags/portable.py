"""What server SDKs judge as the server does, and what they judge otherwise."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from .model import CohortDefinition, PropertyFilter, PropertyGroup
from .parse import groups
from .values import each_of, number

_TEXT_OPERATORS = frozenset(
    f"{prefix}{name}"
    for prefix in ("", "not_")
    for name in ("icontains", "starts_with", "ends_with")
)
_REGEX_OPERATORS = frozenset({"regex", "not_regex"})
# Classes that RE2 reads as ASCII and some SDK reads as Unicode, or the other way round.
_DIFFERING_CLASS = re.compile(r"\\[dDsSwW]")
_WITHOUT_VALUE = frozenset({"is_set", "is_not_set"})
_EQUALITY = frozenset({"exact", "is_not"})


class Sdk(StrEnum):
    """Whose local evaluation is known; ``OTHER``, older versions too, is trusted with the hash."""

    PYTHON = "posthog-python"
    NODE = "posthog-node"
    OTHER = "other"


# Of properties that are lists, objects or text that is no number, posthog-node makes other texts
# and numbers than the server. No SDK has the server's dates and versions.
_JUDGED_ALIKE: Mapping[Sdk, frozenset[str]] = {
    Sdk.PYTHON: _EQUALITY
    | _WITHOUT_VALUE
    | _TEXT_OPERATORS
    | _REGEX_OPERATORS
    | {"gt", "gte", "lt", "lte"},
    Sdk.NODE: _EQUALITY | _WITHOUT_VALUE,
}


def value_differs(test: PropertyFilter, sdk: Sdk) -> bool:
    """Tell whether a known SDK could judge a filter otherwise, whatever the property is."""
    if test.operator not in _JUDGED_ALIKE[sdk]:
        return True
    if test.value is None:
        return test.operator not in _WITHOUT_VALUE
    if test.operator in _REGEX_OPERATORS:
        return _DIFFERING_CLASS.search(str(test.value)) is not None
    if test.operator in _EQUALITY and sdk is not Sdk.PYTHON:
        return any(map(_is_spelled_otherwise, each_of(test.value)))
    return False


def _is_spelled_otherwise(value: Any) -> bool:
    """Tell whether JavaScript may write the same number otherwise; what is nested, to be sure."""
    if isinstance(value, list | dict):
        return True
    given = number(value)
    return given is not None and 1e-6 <= abs(given) < 1e-5  # noqa: PLR2004 -- 0.000001, not 1e-6


def is_portable(cohort: CohortDefinition) -> bool:
    """Tell whether SDKs walk through a cohort as the server does; they know none of groups."""
    if cohort.group_type_index is not None:
        return False
    return all(map(_is_portable_group, groups(cohort.filters.properties)))


def _is_portable_group(group: PropertyGroup) -> bool:
    """Tell whether a group holds something, and not both groups and tests."""
    return len({isinstance(each, PropertyGroup) for each in group.values}) == 1
