"""What people say of group types: how they are called, and which properties lists show."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flagstream.errors import InvalidFieldError, NotFoundError
from flagstream.state.group_types import GroupType

from .bodies import NAME, Row, is_name

_MAX_COLUMNS = 100


def changed_type_row(
    types: Sequence[GroupType], rows: Mapping[str, Row], body: Row, path: str = ""
) -> dict[str, Any]:
    """
    Make the next row of the group type whose index *body* names; other members stay.

    Args:
        types: That have an index.
        rows: Present ones, by the names of the types.
        path: In front of names in messages.

    Raises:
        InvalidFieldError: A member is unknown or wrong.
        NotFoundError: No type has this index.
    """
    index = body.get("group_type_index")
    group_type = next((each.group_type for each in types if each.index == index), None)
    if type(index) is not int:
        raise InvalidFieldError(f"{path}group_type_index", "a number", index)
    if group_type is None:
        raise NotFoundError(f"There is no group type with index {index}.")
    given = {name: value for name, value in body.items() if name not in _READ}
    for name, value in given.items():
        if name not in _EXPECTED:
            raise InvalidFieldError(f"{path}{name}", "no member of this name", value)
        expected, accepts = _EXPECTED[name]
        if value is not None and not accepts(value):
            raise InvalidFieldError(f"{path}{name}", f"{expected}, or null", value)
    return {**rows.get(group_type, {}), "group_type": group_type, **given}


def _are_columns(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= _MAX_COLUMNS and all(map(is_name, value))


_EXPECTED: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "name_singular": (NAME, is_name),
    "name_plural": (NAME, is_name),
    "default_columns": (f"at most {_MAX_COLUMNS} names of properties", _are_columns),
}
# What an answer holds besides: clients send back what they have read.
_READ = ("group_type_index", "group_type", "created_at", "detail_dashboard")
