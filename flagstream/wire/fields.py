"""Readings of members that events and flag requests share."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from flagstream.errors import InvalidFieldError, InvalidRequestError, quote
from flagstream.flags import group_key_text

MAX_DISTINCT_ID_CHARS = 200
MAX_GROUP_KEY_CHARS = 400
MAX_GROUP_TYPES_NAMED = 100


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Tell whether a JSON value is an object."""
    return type(value) is dict


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Tell whether a JSON value is a list."""
    return type(value) is list


def is_number(value: Any) -> TypeGuard[float]:
    """Tell whether a JSON value is a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def object_member(members: Mapping[str, Any], name: str) -> Mapping[str, Any]:
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


def group_keys(groups: Any, field: str) -> dict[str, str]:
    """
    Read ``{type: key}``.

    Keys that name no group (empty, null, booleans, lists, objects) are left out, and a value that
    is no object names none; clients send both while nobody is logged in.

    Raises:
        InvalidRequestError: A name is longer than a group may be called.
    """
    if not is_object(groups):
        return {}
    keys: dict[str, str] = {}
    for group_type, value in groups.items():
        key = value if type(value) is str else group_key_text(value)
        if not key or not group_type:
            continue
        if len(key) > MAX_GROUP_KEY_CHARS or len(group_type) > MAX_GROUP_KEY_CHARS:
            raise InvalidRequestError(
                f"{field}: expected names of at most {MAX_GROUP_KEY_CHARS} characters, "
                f"got {quote({group_type: key})}",
                attr=field,
            )
        keys[group_type] = key
    if len(keys) > MAX_GROUP_TYPES_NAMED:
        raise InvalidRequestError(
            f"{field}: expected at most {MAX_GROUP_TYPES_NAMED} groups, got {len(keys)}", attr=field
        )
    return keys
