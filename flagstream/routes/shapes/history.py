"""Changes of flags, cohorts, settings and keys."""

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

    type: Literal["FeatureFlag", "Cohort", "Project", "SecretKey"]
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
    A change of a flag, a cohort, settings or a key.

    Attributes:
        author: The key that it was made with: label and id, or of the operator's the end.
        user: Always null: there are no users.
    """

    id: str
    user: None
    author: str
    activity: Literal["created", "updated", "deleted", "restored"]
    scope: Literal["FeatureFlag", "Cohort", "Project", "SecretKey"]
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
