"""What can be cut, dropped or refused of what clients send, and what to do about it."""

from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """
    What became of it.

    What is cut is kept in part, what is dropped is left out beside the rest, and of what is refused
    nothing is kept, and the client was told.
    """

    CUT = "cut"
    DROPPED = "dropped"
    REFUSED = "refused"


class WarningKind(StrEnum):
    """
    A kind of ingestion warning. The names are contracts: add, never reword.

    ``docs/reference/limits.md`` has a section on each.
    """

    INVALID_EVENT = "invalid_event"
    EVENT_TOO_LARGE = "event_too_large"
    EVENT_NAME_CUT = "event_name_cut"
    ID_CUT = "id_cut"
    GROUP_NAME_TOO_LONG = "group_name_too_long"
    TOO_MANY_GROUPS = "too_many_groups"
    GROUP_TYPE_REFUSED = "group_type_refused"
    PROPERTY_NAME_TOO_LONG = "property_name_too_long"
    PROPERTY_TOO_DEEP = "property_too_deep"
    TOO_MANY_PROPERTIES = "too_many_properties"
    GROUP_TOO_LARGE = "group_too_large"
    PERSON_TOO_LARGE = "person_too_large"
    MERGE_REFUSED = "merge_refused"
    EVENTS_RATE_LIMITED = "events_rate_limited"
    FLAGS_RATE_LIMITED = "flags_rate_limited"
    API_RATE_LIMITED = "api_rate_limited"
    DEFINITIONS_RATE_LIMITED = "definitions_rate_limited"
    FLAGS_QUOTA_LIMITED = "flags_quota_limited"


class Advice(NamedTuple):
    """What became of it, and what to do."""

    outcome: Outcome
    what_to_do: str


ADVICE: dict[WarningKind, Advice] = {
    WarningKind.INVALID_EVENT: Advice(
        Outcome.REFUSED,
        "Correct what the samples name where the event is sent; clients do not send it again.",
    ),
    WarningKind.EVENT_TOO_LARGE: Advice(
        Outcome.REFUSED,
        "Send less with one event: documents, pictures and long lists belong elsewhere. "
        "max_event_bytes is the largest.",
    ),
    WarningKind.EVENT_NAME_CUT: Advice(
        Outcome.CUT,
        "Name events in a few words that are always the same, and send what varies as properties.",
    ),
    WarningKind.ID_CUT: Advice(
        Outcome.CUT,
        "Send shorter ids: those that begin alike are one person once they are cut. "
        "Hash what is longer.",
    ),
    WarningKind.GROUP_NAME_TOO_LONG: Advice(
        Outcome.DROPPED,
        "Send a shorter group key, such as the group's id in your database.",
    ),
    WarningKind.TOO_MANY_GROUPS: Advice(
        Outcome.DROPPED,
        "Name one group of each type; what is no group belongs into properties.",
    ),
    WarningKind.GROUP_TYPE_REFUSED: Advice(
        Outcome.DROPPED,
        "A project has five group types for good, those that came first. Send the sixth as a "
        "property, or from another project.",
    ),
    WarningKind.PROPERTY_NAME_TOO_LONG: Advice(
        Outcome.DROPPED,
        "Use short names; data that ended up in a name belongs into the value.",
    ),
    WarningKind.PROPERTY_TOO_DEEP: Advice(
        Outcome.DROPPED,
        "Send flatter values, or the nested part as text. max_property_depth is the deepest.",
    ),
    WarningKind.TOO_MANY_PROPERTIES: Advice(
        Outcome.DROPPED,
        "Send fewer properties with one event: names that are made of ids belong into values. "
        "max_properties is the most.",
    ),
    WarningKind.GROUP_TOO_LARGE: Advice(
        Outcome.DROPPED,
        "Remove properties that nobody needs ($group_unset), and do not make up names: one that "
        "was removed still counts for half. max_properties and max_state_bytes are the most.",
    ),
    WarningKind.PERSON_TOO_LARGE: Advice(
        Outcome.DROPPED,
        "Remove properties that nobody needs ($unset), or look who shares the distinct id. "
        "max_properties and max_state_bytes are the most.",
    ),
    WarningKind.MERGE_REFUSED: Advice(
        Outcome.REFUSED,
        "Two identified persons stay two: call reset() at logout, so that the next login begins "
        "with an anonymous id. $merge_dangerously makes one of two all the same.",
    ),
    WarningKind.EVENTS_RATE_LIMITED: Advice(
        Outcome.REFUSED,
        "Clients send again what was refused, up to their own bounds. Find out who sends so much, "
        "or raise max_events_per_s.",
    ),
    WarningKind.FLAGS_RATE_LIMITED: Advice(
        Outcome.REFUSED,
        "Clients keep the flags that they have. Ask once a page or request, decide in the "
        "backend's own process, or raise max_flag_requests_per_s.",
    ),
    WarningKind.API_RATE_LIMITED: Advice(
        Outcome.REFUSED,
        "Come back after Retry-After, take larger pages and groups/batch, or raise "
        "max_api_requests_per_s.",
    ),
    WarningKind.DEFINITIONS_RATE_LIMITED: Advice(
        Outcome.REFUSED,
        "SDKs keep the definitions that they have. Share one client per process, ask less often "
        "(30 seconds is usual), or raise max_definition_requests_per_s.",
    ),
    WarningKind.FLAGS_QUOTA_LIMITED: Advice(
        Outcome.REFUSED,
        "Clients are told that the quota is used up, and get no flags. Set is_quota_limited of "
        "the project to false to answer them again.",
    ),
}
