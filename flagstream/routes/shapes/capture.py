"""Events, the envelopes in which they come, and what is answered."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from flagstream.openapi import AnyOf, Body

from .bodies import FORM
from .common import Count, Properties

DistinctId = Annotated[
    Any,
    Meta(
        extra_json_schema={"not": {"enum": [None, ""]}},
        description="An id; what is no text is written as one, of which 200 characters count.",
    ),
]


EventName = Annotated[
    str, Meta(min_length=1, description="Its name, of which 200 characters count.")
]
_Names = list[str] | Properties | UnsetType | None


class Event(Struct, kw_only=True):
    """
    One event.

    Attributes:
        distinct_id: Of whom; may stand in `properties` instead.
        uuid: By which an event that comes again is told.
        timestamp: ISO 8601.
        offset: Milliseconds that passed since, of clients that send no timestamp.
        properties: `$groups` are the groups that the user acts for.
        $set: Properties of the person that are set.
        $set_once: Those that are set only where nothing is.
        $unset: Names of those that are removed.
        token: The project's public token, where the envelope has none.
    """

    event: EventName
    distinct_id: DistinctId = UNSET
    uuid: str | UnsetType | None = UNSET
    timestamp: str | UnsetType | None = UNSET
    offset: float | UnsetType | None = UNSET
    properties: Properties | UnsetType | None = UNSET
    set: Properties | UnsetType | None = field(default=UNSET, name="$set")
    set_once: Properties | UnsetType | None = field(default=UNSET, name="$set_once")
    unset: _Names = field(default=UNSET, name="$unset")
    token: str | UnsetType = UNSET
    api_key: str | UnsetType = UNSET


class Batch(Struct, kw_only=True):
    """
    Many events.

    Attributes:
        api_key: The project's public token; `token` is another spelling.
        sent_at: The client's time of sending, ISO 8601.
    """

    batch: Annotated[list[Event], Meta(min_length=1, max_length=5_000)]
    api_key: str | UnsetType = UNSET
    token: str | UnsetType = UNSET
    sent_at: str | UnsetType | None = UNSET
    historical_migration: bool | UnsetType = UNSET


EVENTS = Body(
    AnyOf(Batch, list[Event], Event),
    others=FORM,
    example={
        "api_key": "phc_…",
        "batch": [
            {
                "event": "signed in",
                "distinct_id": "user-1",
                "properties": {"$groups": {"organization": "acme"}},
            }
        ],
    },
)


class RejectedEvent(Struct, kw_only=True):
    """
    An event that was refused.

    Attributes:
        index: Its place in the request.
        field: What was wrong, dotted.
    """

    index: Count
    uuid: str | None
    field: str
    detail: str


class Captured(Struct, kw_only=True):
    """
    The events are durable.

    Attributes:
        rejected: Those that are not.
        applied: With `wait=1`, whether flags are answered from them now.
    """

    status: Literal[1]
    rejected: list[RejectedEvent] | UnsetType = UNSET
    applied: bool | UnsetType = UNSET


class Options(Struct, kw_only=True):
    """What capture v1 says of an event beside its properties."""

    cookieless_mode: bool | UnsetType | None = UNSET
    disable_skew_correction: bool | UnsetType | None = UNSET
    process_person_profile: bool | UnsetType | None = UNSET
    product_tour_id: str | UnsetType | None = UNSET


class EventV1(Struct, kw_only=True):
    """One event of capture v1."""

    event: EventName
    uuid: str
    distinct_id: DistinctId
    timestamp: str | UnsetType | None = UNSET
    session_id: str | UnsetType | None = UNSET
    window_id: str | UnsetType | None = UNSET
    options: Options | UnsetType | None = UNSET
    properties: Properties | UnsetType | None = UNSET


class BatchV1(Struct, kw_only=True):
    """Many events of capture v1."""

    batch: Annotated[list[EventV1], Meta(min_length=1, max_length=5_000)]
    created_at: str | UnsetType | None = UNSET
    historical_migration: bool | UnsetType = UNSET


class ResultV1(Struct):
    """What became of an event."""

    result: Literal["ok", "drop"]
    details: str | None


class ResultsV1(Struct):
    """What became of the events, by their uuids."""

    results: dict[str, ResultV1]
