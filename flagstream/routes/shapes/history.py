"""Changes of flags, cohorts and settings."""

from typing import Any, Literal

from msgspec import Struct

from .common import Count, Page, Time


class ChangedMember(Struct):
    """
    What a change made of a member.

    Attributes:
        field: Dotted.
        before: Null also where there was nothing.
        after: Likewise.
    """

    type: Literal["FeatureFlag", "Cohort", "Project"]
    action: Literal["created", "changed", "deleted"]
    field: str
    before: Any
    after: Any


class ChangeDetail(Struct):
    """What a change changed."""

    name: str | None
    changes: list[ChangedMember]


class Change(Struct):
    """
    A change of a flag, a cohort or settings.

    Attributes:
        author: The end of the key that it was made with.
        user: Always null: there are no users.
    """

    id: str
    user: None
    author: str
    activity: Literal["created", "updated", "deleted", "restored"]
    scope: Literal["FeatureFlag", "Cohort", "Project"]
    item_id: str
    version: Count | None
    detail: ChangeDetail
    created_at: Time


class Changes(Page[Change]):
    """A page of changes."""


class ChangeId(Struct):
    """
    A change of a history.

    Attributes:
        id: As `activity` lists it.
    """

    id: str
