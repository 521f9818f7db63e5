"""What is said of one group: by a ``$groupidentify``, over the API, or in a line of many."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from flagstream.errors import BodyTooLargeError, InvalidFieldError, InvalidRequestError
from flagstream.flags import group_key_text
from flagstream.limits import MAX_GROUP_NAME_CHARS, MAX_LINES

from . import json_text
from .fields import is_object, names_member, object_member, too_long_name
from .losses import (
    EventLimits,
    Loss,
    OverLimitError,
    bounded_names,
    drop_deep,
    keep_bounded,
)

_NAME = f"1 to {MAX_GROUP_NAME_CHARS} characters"


class GroupChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become of a group's properties."""

    group_type: str
    group_key: str
    set: dict[str, Any]
    set_once: dict[str, Any]
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


def group_of_event(
    properties: Mapping[str, Any], limits: EventLimits, losses: list[Loss]
) -> GroupChange:
    """
    Read the properties of a ``$groupidentify``.

    Args:
        losses: Told of properties that are left out.

    Raises:
        InvalidFieldError: Naming the member.
    """
    return _change(properties, _OF_EVENTS, limits, losses)


def group_change(members: Mapping[str, Any], limits: EventLimits) -> GroupChange:
    """
    Read what the API is sent.

    Raises:
        InvalidFieldError: Naming the member, or the property that is over a limit.
    """
    losses: list[Loss] = []
    change = _change(members, _OF_LINES, limits, losses)
    values = {_OF_LINES.set: change.set, _OF_LINES.set_once: change.set_once}
    losses += drop_deep(values, limits.property_depth)
    if losses:
        raise OverLimitError(losses[0])
    return change


class GroupLine(NamedTuple):
    """
    One line of many.

    Attributes:
        number: From 1.
        read: The change, or why there is none.
    """

    number: int
    read: GroupChange | InvalidRequestError


def group_lines(raw: bytes, max_depth: int, limits: EventLimits) -> Iterator[GroupLine]:
    """
    Read one JSON object from each line that is not empty.

    Args:
        max_depth: Levels of nested objects and lists in a line.

    Raises:
        BodyTooLargeError: There are more than :data:`flagstream.limits.MAX_LINES`.
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
            yield GroupLine(number, _read(line, max_depth, limits))


def _read(line: bytes, max_depth: int, limits: EventLimits) -> GroupChange | InvalidRequestError:
    try:
        members = json_text.loads(line, max_depth)
        if not is_object(members):
            raise InvalidFieldError("line", "an object", members)
        return group_change(members, limits)
    except InvalidRequestError as error:
        return error


def _change(
    members: Mapping[str, Any], spelling: _Spelling, limits: EventLimits, losses: list[Loss]
) -> GroupChange:
    path = spelling.path
    group_type, key = members.get(spelling.group_type), members.get(spelling.group_key)
    text = group_key_text(key)
    if not isinstance(group_type, str) or not group_type:
        raise InvalidFieldError(f"{path}{spelling.group_type}", _NAME, group_type)
    if text is None:
        raise InvalidFieldError(f"{path}{spelling.group_key}", f"{_NAME} or a number", key)
    for name, member in ((group_type, spelling.group_type), (text, spelling.group_key)):
        if len(name) > MAX_GROUP_NAME_CHARS:
            raise OverLimitError(too_long_name(name, f"{path}{member}"))
    change = GroupChange(
        group_type=group_type,
        group_key=text,
        set=object_member(members, spelling.set),
        set_once=object_member(members, spelling.set_once),
        unset=bounded_names(
            names_member(members, spelling.unset),
            f"{path}{spelling.unset}",
            limits.properties,
            losses,
        ),
    )
    keep_bounded(change.set, f"{path}{spelling.set}", limits.properties, losses)
    keep_bounded(change.set_once, f"{path}{spelling.set_once}", limits.properties, losses)
    return change
