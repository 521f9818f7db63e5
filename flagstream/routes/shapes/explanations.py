"""Explanations of what flags answer."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from flagstream.flags import Explanation

from .common import Properties, Time
from .flags import GroupKey, Text


class ToExplain(Struct, kw_only=True):
    """
    Which flag is to be explained, and for whom: members mean what they mean to `/flags`.

    Attributes:
        evaluation_runtime: Where it is not given, flags of all runtimes are seen.
        as_of: A time in ISO 8601, or relative to now as `-7d`.
    """

    flag_key: str
    distinct_id: str | float
    groups: dict[str, GroupKey] | UnsetType | None = UNSET
    person_properties: Properties | UnsetType | None = UNSET
    group_properties: dict[str, Properties] | UnsetType | None = UNSET
    device_id: Text = UNSET
    session_id: Text = UNSET
    anon_distinct_id: Text = UNSET
    evaluation_contexts: list[str] | UnsetType | None = UNSET
    evaluation_runtime: Literal["server", "client", "all"] | UnsetType | None = UNSET
    as_of: str | UnsetType | None = UNSET


class SeenGroup(Struct, kw_only=True):
    """
    A group type that the flag looks at, and the group that was taken for it.

    Attributes:
        source: `memory` is what the user acted for last.
        is_known: Anything was ever heard of the group.
        distinct_id: That carried the remembered group: the user's, or one that was merged into it.
        session_id: In which it did so.
        remembered_at: The time of the event that said so.
    """

    group_type: str
    group_key: str | None
    source: Literal["request", "memory", "missing"]
    is_known: bool
    distinct_id: str | None = None
    session_id: str | None = None
    remembered_at: Time | None = None


class SeenPerson(Struct, kw_only=True):
    """
    The person who asks.

    Attributes:
        is_known: Anything was ever heard of this id.
        distinct_ids: All that are known of the person.
    """

    distinct_id: str
    is_known: bool
    distinct_ids: list[str]


class UnknownProperty(Struct, kw_only=True):
    """A property that may have been set then, by what is not kept any more."""

    group_type: str
    group_key: str
    property: str


class AsOf(Struct, kw_only=True):
    """
    The time that is told of.

    Attributes:
        present: What is taken as it is now, as nothing else is kept.
        unknown: Properties that the flag may follow from and that cannot be told.
    """

    time: Time
    present: list[Literal["person", "active_groups", "cohort_members"]]
    unknown: list[UnknownProperty]


class FlagExplanation(Explanation, kw_only=True):
    """
    What a flag answers to a user, and all that this follows from.

    Attributes:
        is_answered: `/flags` has it in its answer.
        absence: Why it has not.
    """

    is_answered: bool
    absence: Literal["disabled", "quota", "evaluation_runtime", "evaluation_contexts"] | None
    groups: list[SeenGroup]
    person: SeenPerson
    as_of: AsOf | None
