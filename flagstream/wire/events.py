"""One captured event: its members, and what it says of persons and groups."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
import orjson
from msgspec import structs
from uuid_utils import UUID, uuid7

from flagstream.errors import InvalidEventError
from flagstream.flags import number_text
from flagstream.limits import MAX_EVENT_NAME_CHARS, MAX_ID_CHARS
from flagstream.warning_kinds import WarningKind

from .fields import group_keys, is_number, is_object, names_member, object_member
from .groups import GroupChange, group_of_event
from .losses import (
    EventLimits,
    Loss,
    Properties,
    bounded_names,
    cut,
    drop_deep,
    keep_bounded,
)
from .times import event_time_ms

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

    set: Properties
    set_once: Properties
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
        losses: What was cut, or left out.
    """

    uuid: str
    may_repeat: bool
    name: str
    distinct_id: str
    time_ms: int
    received_ms: int
    properties: Properties
    groups: Mapping[str, str] | None
    session_id: str | None
    group: GroupChange | None
    person: PersonChange | None
    makes_person: bool
    losses: Sequence[Loss]


class Envelope(NamedTuple):
    """
    What a request says of all its events.

    Attributes:
        default_name: Of events without one; "" where each must have one.
    """

    received_ms: int
    sent_at_ms: int | None
    default_name: str
    limits: EventLimits


def parse_event(event: Any, envelope: Envelope) -> CapturedEvent:
    """
    Read one event.

    Raises:
        InvalidRequestError: Naming the field.
    """
    if not is_object(event):
        raise InvalidEventError("event", "an object", event)
    losses: list[Loss] = []
    name = _name(event.get("event") or envelope.default_name, losses)
    properties = _properties(event)
    # Mixpanel's libraries, which old clients were made from, have a dollar in front.
    distinct_id = _distinct_id(
        (event.get("distinct_id"), event.get("$distinct_id"), properties.get("distinct_id")),
        losses,
    )
    groups = properties.get("$groups")
    captured = CapturedEvent(
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
        groups=group_keys(groups, "properties.$groups", losses) if is_object(groups) else None,
        session_id=_session_id(properties, losses),
        group=(
            _group_change(properties, envelope.limits, losses) if name == "$groupidentify" else None
        ),
        person=_person_change(name, distinct_id, properties, envelope.limits, losses),
        # Backends make up a distinct id for each change of a group.
        makes_person=name != "$groupidentify" and not _has_no_profile(properties),
        losses=losses,
    )
    # Last: what the event changes is told by whatever came.
    keep_bounded(properties, "properties", envelope.limits.properties, losses)
    return captured


def flattened(event: CapturedEvent, depth: int) -> CapturedEvent:
    """
    Remove properties that are nested too deep, whatever they are of.

    Returns:
        *event* itself where there are none.
    """
    holders = {"properties": event.properties}
    for change, of in ((event.group, "group_"), (event.person, "")):
        if change is not None:
            holders |= {f"properties.${of}set": change.set}
            holders |= {f"properties.${of}set_once": change.set_once}
    losses = drop_deep(holders, depth)
    return structs.replace(event, losses=[*event.losses, *losses]) if losses else event


def _name(value: Any, losses: list[Loss]) -> str:
    if not isinstance(value, str) or not value:
        expected = f"a name of 1 to {MAX_EVENT_NAME_CHARS} characters"
        raise InvalidEventError("event", expected, value)
    if len(value) <= MAX_EVENT_NAME_CHARS:
        return value
    return cut(value, MAX_EVENT_NAME_CHARS, WarningKind.EVENT_NAME_CUT, "event", losses)


def _uuid(value: Any) -> str:
    if value is None or value == "":
        return str(uuid7())
    try:
        return str(UUID(value))
    except (ValueError, TypeError):
        raise InvalidEventError("uuid", "a UUID", value) from None


def _distinct_id(values: Sequence[Any], losses: list[Loss]) -> str:
    for value in values:
        if value is None or value == "":
            continue
        return _bounded_id(id_text(value), "distinct_id", losses)
    raise InvalidEventError("distinct_id", "an id", values[0])


def _bounded_id(text: str, field: str, losses: list[Loss]) -> str:
    if len(text) <= MAX_ID_CHARS:
        return text
    return cut(text, MAX_ID_CHARS, WarningKind.ID_CUT, field, losses)


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


def _session_id(properties: Mapping[str, Any], losses: list[Loss]) -> str | None:
    session_id = properties.get("$session_id")
    if not session_id or properties.get("$is_server") or not isinstance(session_id, str):
        return None
    return _bounded_id(session_id, "properties.$session_id", losses)


def _group_change(
    properties: Mapping[str, Any], limits: EventLimits, losses: list[Loss]
) -> GroupChange:
    if _has_no_profile(properties):
        raise InvalidEventError("properties.$process_person_profile", "true", got=False)
    return group_of_event(properties, limits, losses)


def _person_change(
    name: str,
    distinct_id: str,
    properties: Mapping[str, Any],
    limits: EventLimits,
    losses: list[Loss],
) -> PersonChange | None:
    if _has_no_profile(properties):
        return None
    most, unset = limits.properties, names_member(properties, "$unset")
    change = PersonChange(
        set=object_member(properties, "$set"),
        set_once=object_member(properties, "$set_once"),
        unset=bounded_names(unset, "properties.$unset", most, losses) if unset else (),
        merge=_merge(name, distinct_id, properties, losses),
    )
    if change == _NO_CHANGE:
        return None
    keep_bounded(change.set, "properties.$set", most, losses)
    keep_bounded(change.set_once, "properties.$set_once", most, losses)
    return change


def _has_no_profile(properties: Mapping[str, Any]) -> bool:
    return properties.get("$process_person_profile") is False


def _merge(
    name: str, distinct_id: str, properties: Mapping[str, Any], losses: list[Loss]
) -> Merge | None:
    if name not in _MERGES:
        return None
    member, rule = _MERGES[name]
    value = properties.get(member)
    other = "" if value is None else _bounded_id(id_text(value), f"properties.{member}", losses)
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
