"""One captured event: its members, and what it says of persons and groups."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
import orjson
from uuid_utils import UUID, uuid7

from flagstream.errors import InvalidEventError
from flagstream.flags import number_text

from .fields import (
    MAX_DISTINCT_ID_CHARS,
    group_keys,
    is_number,
    is_object,
    names_member,
    object_member,
)
from .groups import GroupChange, group_of_event
from .times import event_time_ms

_MAX_NAME_CHARS = 200
_NEVER_MERGED = frozenset(
    [
        "anonymous",
        "guest",
        "distinctid",
        "distinct_id",
        "id",
        "not_authenticated",
        "email",
        "undefined",
        "true",
        "false",
    ]
)
_NEVER_MERGED_EXACTLY = frozenset(["[object Object]", "NaN", "None", "none", "null", "0"])


class MergeRule(StrEnum):
    """
    Which of two persons goes into the other.

    Attributes:
        ANONYMOUS: The other id's, unless that one was identified.
        EITHER: The other id's, or the event's if only the other one was identified: clients differ
            in which of the two they name first. None if both were.
        FORCED: The other id's in any case.
    """

    ANONYMOUS = "anonymous"
    EITHER = "either"
    FORCED = "forced"


class Merge(msgspec.Struct, frozen=True):
    """
    That an event's distinct id is one person with another one.

    Attributes:
        field: That named the other one.
    """

    distinct_id: str
    rule: MergeRule
    field: str


_MERGES = {
    "$identify": ("$anon_distinct_id", MergeRule.ANONYMOUS),
    "$create_alias": ("alias", MergeRule.EITHER),
    "$merge_dangerously": ("alias", MergeRule.FORCED),
}


class PersonChange(msgspec.Struct, frozen=True, kw_only=True):
    """
    What an event says of the person behind its distinct id.

    Attributes:
        merge: None where there is no other id, or none that may be merged.
    """

    set: Mapping[str, Any]
    set_once: Mapping[str, Any]
    unset: Sequence[str]
    merge: Merge | None


_NO_CHANGE = PersonChange(set={}, set_once={}, unset=(), merge=None)


class CapturedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """
    An accepted event.

    Attributes:
        uuid: Canonical text; retries carry the same.
        may_repeat: The client named the uuid, so this may be a retry.
        time_ms: Corrected for the client's clock; may be wrong, even in the future.
        properties: As sent, with the changes of the person that came beside them.
        groups: Key by type; None where the event says nothing of groups.
        session_id: None also for events of servers, which are in nobody's session.
        group: None where the event changes no group.
        person: None where the event changes no person.
        makes_person: Whether its distinct id is a person from the first such event on.
    """

    uuid: str
    may_repeat: bool
    name: str
    distinct_id: str
    time_ms: int
    received_ms: int
    properties: Mapping[str, Any]
    groups: Mapping[str, str] | None
    session_id: str | None
    group: GroupChange | None
    person: PersonChange | None
    makes_person: bool


class Envelope(NamedTuple):
    """
    What a request says of all its events.

    Attributes:
        default_name: Of events without one; "" where each must have one.
    """

    received_ms: int
    sent_at_ms: int | None
    default_name: str


def parse_event(event: Any, envelope: Envelope) -> CapturedEvent:
    """
    Read one event.

    Raises:
        InvalidRequestError: Naming the field.
    """
    if not is_object(event):
        raise InvalidEventError("event", "an object", event)
    name = _name(event.get("event") or envelope.default_name)
    properties = _properties(event)
    # Mixpanel's libraries, which old clients were made from, have a dollar in front.
    distinct_id = _distinct_id(
        event.get("distinct_id"), event.get("$distinct_id"), properties.get("distinct_id")
    )
    groups = properties.get("$groups")
    return CapturedEvent(
        uuid=_uuid(event.get("uuid")),
        may_repeat=bool(event.get("uuid")),
        name=name,
        distinct_id=distinct_id,
        time_ms=event_time_ms(
            timestamp=event.get("timestamp"),
            offset=event.get("offset"),
            sent_at_ms=None if properties.get("$ignore_sent_at") is True else envelope.sent_at_ms,
            received_ms=envelope.received_ms,
        ),
        received_ms=envelope.received_ms,
        properties=properties,
        groups=group_keys(groups, "properties.$groups") if is_object(groups) else None,
        session_id=_session_id(properties),
        group=_group_change(properties) if name == "$groupidentify" else None,
        person=_person_change(name, distinct_id, properties),
        # Backends make up a distinct id for each change of a group.
        makes_person=name != "$groupidentify" and not _has_no_profile(properties),
    )


def _name(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME_CHARS:
        raise InvalidEventError("event", f"a name of 1 to {_MAX_NAME_CHARS} characters", value)
    return value


def _uuid(value: Any) -> str:
    if value is None or value == "":
        return str(uuid7())
    try:
        return str(UUID(value))
    except (ValueError, TypeError):
        raise InvalidEventError("uuid", "a UUID", value) from None


def _distinct_id(*values: Any) -> str:
    for value in values:
        if value is None or value == "":
            continue
        return id_text(value)[:MAX_DISTINCT_ID_CHARS]
    raise InvalidEventError("distinct_id", "an id", values[0])


def id_text(value: Any) -> str:
    """Write a distinct id of any type as text; clients do send numbers and objects."""
    if isinstance(value, str):
        return value
    if is_number(value):
        return number_text(value)
    return orjson.dumps(value).decode()


def _properties(event: Mapping[str, Any]) -> dict[str, Any]:
    """Read the properties; changes of the person beside them go before those within."""
    properties = event.get("properties")
    if properties is None:
        properties = dict[str, Any]()
    if not is_object(properties):
        raise InvalidEventError("properties", "an object", properties)
    for name in ("$set", "$set_once"):
        beside = event.get(name)
        if beside:
            properties[name] = {**object_member(properties, name), **object_member(event, name)}
    if "$unset" in event:
        properties["$unset"] = event["$unset"]
    return properties


def _session_id(properties: Mapping[str, Any]) -> str | None:
    session_id = properties.get("$session_id")
    if not session_id or properties.get("$is_server") or not isinstance(session_id, str):
        return None
    return session_id[:MAX_DISTINCT_ID_CHARS]


def _group_change(properties: Mapping[str, Any]) -> GroupChange:
    if _has_no_profile(properties):
        raise InvalidEventError("properties.$process_person_profile", "true", got=False)
    return group_of_event(properties)


def _person_change(
    name: str, distinct_id: str, properties: Mapping[str, Any]
) -> PersonChange | None:
    if _has_no_profile(properties):
        return None
    change = PersonChange(
        set=object_member(properties, "$set"),
        set_once=object_member(properties, "$set_once"),
        unset=names_member(properties, "$unset"),
        merge=_merge(name, distinct_id, properties),
    )
    return change if change != _NO_CHANGE else None


def _has_no_profile(properties: Mapping[str, Any]) -> bool:
    return properties.get("$process_person_profile") is False


def _merge(name: str, distinct_id: str, properties: Mapping[str, Any]) -> Merge | None:
    if name not in _MERGES:
        return None
    member, rule = _MERGES[name]
    value = properties.get(member)
    other = "" if value is None else id_text(value)[:MAX_DISTINCT_ID_CHARS]
    if other == distinct_id or _is_never_merged(other) or _is_never_merged(distinct_id):
        return None
    return Merge(other, rule, f"properties.{member}")


def _is_never_merged(distinct_id: str) -> bool:
    """Tell ids that many people share because a client's code went wrong."""
    return (
        not distinct_id.strip()
        or distinct_id in _NEVER_MERGED_EXACTLY
        or distinct_id.lower() in _NEVER_MERGED
    )
