"""What is said of one group: by a ``$groupidentify``, over the API, or in a line of many."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from flagstream.errors import BodyTooLargeError, InvalidFieldError, InvalidRequestError
from flagstream.flags import group_key_text

from . import json_text
from .fields import MAX_GROUP_KEY_CHARS, is_object, names_member, object_member

MAX_LINES = 10_000
_NAME = f"1 to {MAX_GROUP_KEY_CHARS} characters"


class GroupChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become of a group's properties."""

    group_type: str
    group_key: str
    set: Mapping[str, Any]
    set_once: Mapping[str, Any]
    unset: Sequence[str]


class _Spelling(NamedTuple):
    """
    How a change is written.

    Attributes:
        path: In front of the names, in messages.
    """

    path: str
    group_type: str
    group_key: str
    set: str
    set_once: str
    unset: str


_OF_EVENTS = _Spelling(
    path="properties.",
    group_type="$group_type",
    group_key="$group_key",
    set="$group_set",
    set_once="$group_set_once",
    unset="$group_unset",
)
_OF_LINES = _Spelling(
    path="",
    group_type="group_type",
    group_key="group_key",
    set="group_properties",
    set_once="set_once",
    unset="unset",
)


def group_of_event(properties: Mapping[str, Any]) -> GroupChange:
    """
    Read the properties of a ``$groupidentify``.

    Raises:
        InvalidFieldError: Naming the member.
    """
    return _change(properties, _OF_EVENTS)


def group_change(members: Mapping[str, Any]) -> GroupChange:
    """
    Read what the API is sent.

    Raises:
        InvalidFieldError: Naming the member.
    """
    return _change(members, _OF_LINES)


class GroupLine(NamedTuple):
    """
    One line of many.

    Attributes:
        number: From 1.
        read: The change, or why there is none.
    """

    number: int
    read: GroupChange | InvalidRequestError


def group_lines(raw: bytes, max_depth: int) -> Iterator[GroupLine]:
    """
    Read one JSON object from each line that is not empty.

    Args:
        max_depth: Levels of nested objects and lists in a line.

    Raises:
        BodyTooLargeError: There are more than :data:`MAX_LINES`.
    """
    # Before they are taken apart: a line may be empty, and a byte would become a hundred.
    breaks = max(raw.count(b"\n"), raw.count(b"\r"))
    if breaks > MAX_LINES:
        raise BodyTooLargeError(f"body: expected at most {MAX_LINES} lines, got {breaks}")
    lines = raw.splitlines()
    if len(lines) > MAX_LINES:
        raise BodyTooLargeError(f"body: expected at most {MAX_LINES} lines, got {len(lines)}")
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield GroupLine(number, _read(line, max_depth))


def _read(line: bytes, max_depth: int) -> GroupChange | InvalidRequestError:
    try:
        members = json_text.loads(line, max_depth)
        if not is_object(members):
            raise InvalidFieldError("line", "an object", members)
        return group_change(members)
    except InvalidRequestError as error:
        return error


def _change(members: Mapping[str, Any], spelling: _Spelling) -> GroupChange:
    path = spelling.path
    group_type, key = members.get(spelling.group_type), members.get(spelling.group_key)
    text = group_key_text(key)
    if not isinstance(group_type, str) or not 0 < len(group_type) <= MAX_GROUP_KEY_CHARS:
        raise InvalidFieldError(f"{path}{spelling.group_type}", _NAME, group_type)
    if text is None or len(text) > MAX_GROUP_KEY_CHARS:
        raise InvalidFieldError(f"{path}{spelling.group_key}", f"{_NAME} or a number", key)
    return GroupChange(
        group_type=group_type,
        group_key=text,
        set=object_member(members, spelling.set),
        set_once=object_member(members, spelling.set_once),
        unset=names_member(members, spelling.unset),
    )
