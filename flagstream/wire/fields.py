"""Readings of members that events and flag requests share."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from flagstream.errors import InvalidFieldError
from flagstream.flags import group_key_text
from flagstream.limits import MAX_GROUP_NAME_CHARS, MAX_GROUPS_NAMED
from flagstream.warning_kinds import WarningKind

from .losses import Loss, OverLimitError, characters


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Tell whether a JSON value is an object."""
    return type(value) is dict


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Tell whether a JSON value is a list."""
    return type(value) is list


def is_number(value: Any) -> TypeGuard[float]:
    """Tell whether a JSON value is a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def object_member(members: Mapping[str, Any], name: str) -> dict[str, Any]:
    """
    Read a member that is an object, empty where it is missing.

    Raises:
        InvalidFieldError: It is something else.
    """
    value = members.get(name)
    if value is None:
        return {}
    if not is_object(value):
        raise InvalidFieldError(name, "an object", value)
    return value


def names_member(members: Mapping[str, Any], name: str) -> Sequence[str]:
    """
    Read names as a list; some clients send an object with the names as keys.

    Raises:
        InvalidFieldError: It is something else.
    """
    value = members.get(name)
    if value is None:
        return ()
    if is_object(value):
        return list(value)
    if not is_list(value) or not all(isinstance(each, str) for each in value):
        raise InvalidFieldError(name, "a list of names", value)
    return value


def group_keys(groups: Any, field: str, losses: list[Loss]) -> dict[str, str]:
    """
    Read ``{type: key}``.

    Keys that name no group (empty, null, booleans, lists, objects) are left out, and a value that
    is no object names none; clients send both while nobody is logged in.

    Args:
        losses: Told of groups that are left out because their names are longer than may be, or
            because there are too many.
    """
    if not is_object(groups):
        return {}
    keys: dict[str, str] = {}
    for group_type, value in groups.items():
        key = value if type(value) is str else group_key_text(value)
        if not key or not group_type:
            continue
        if len(key) > MAX_GROUP_NAME_CHARS or len(group_type) > MAX_GROUP_NAME_CHARS:
            losses.append(too_long_name(max(key, group_type, key=len), field))
            continue
        keys[group_type] = key
    if len(keys) > MAX_GROUPS_NAMED:
        expected = f"at most {MAX_GROUPS_NAMED} groups"
        losses.append(Loss(WarningKind.TOO_MANY_GROUPS, field, expected, f"{len(keys)} groups"))
        keys = dict(list(keys.items())[:MAX_GROUPS_NAMED])
    return keys


def all_group_keys(groups: Any, field: str) -> dict[str, str]:
    """
    Read ``{type: key}`` where an answer depends on each; likewise.

    Raises:
        OverLimitError: A name is longer than a group may be called, or there are too many.
    """
    losses: list[Loss] = []
    keys = group_keys(groups, field, losses)
    if losses:
        raise OverLimitError(losses[0])
    return keys


def too_long_name(name: str, field: str) -> Loss:
    """Describe a group's key, or a type's name, that is too long."""
    return characters(name, MAX_GROUP_NAME_CHARS, WarningKind.GROUP_NAME_TOO_LONG, field)
