"""Cohorts, as they are read and changed."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from flagstream.flags.model import CohortFilters
from flagstream.openapi import Body

from .common import Count, Id, Page, Time, TypeIndex


class CohortChange(Struct, kw_only=True, forbid_unknown_fields=True):
    """
    What is to become of a cohort; what is not named stays.

    What an answer holds besides may be sent back, and is not looked at.

    Attributes:
        id: Of a new cohort: kept where it is free.
        name: Of 1 to 400 characters, but for what is deleted.
        version: That the change is made on top of; refused with 409 if there is a newer one.
        group_type_index: The type of the groups that are in it; null for a cohort of persons.
        is_static: Who is in it is listed in `members`, and `filters` do not count.
        members: Distinct ids, or group keys.
        deleted: Hides it, or brings it back.
    """

    id: Annotated[int, Meta(ge=1, le=10**9)] | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    filters: CohortFilters | UnsetType | None = UNSET
    group_type_index: TypeIndex | UnsetType | None = UNSET
    is_static: bool | UnsetType = UNSET
    members: list[str] | UnsetType = UNSET
    deleted: bool | UnsetType = UNSET
    version: Count | UnsetType = UNSET


NEW_COHORT = Body(
    Annotated[CohortChange, Meta(extra_json_schema={"required": ["name"]})],
    example={
        "name": "Gold",
        "filters": {
            "properties": {
                "type": "AND",
                "values": [{"key": "plan", "type": "person", "value": "gold"}],
            }
        },
    },
)


COHORT_CHANGE = Body(CohortChange, example={"description": "Who pays most"})


class Cohort(Struct, kw_only=True):
    """
    A cohort. What PostHog has and flagstream has not is always null, false or empty.

    Attributes:
        count: Of the members; null where rules say who is in it.
        group_type_index: The type of the groups that are in it; null for a cohort of persons.
        version: Counts the writes.
    """

    id: Id
    name: str | None
    description: str | None
    filters: CohortFilters
    group_type_index: TypeIndex | None
    is_static: bool
    deleted: bool
    version: Id
    count: Count | None
    created_at: Time
    updated_at: Time

    groups: list[None]
    query: None
    cohort_type: None
    created_by: None
    pending_version: None
    is_calculating: bool
    last_calculation: None
    last_backfill_person_properties_at: None
    errors_calculating: Literal[0]
    last_error_message: None
    experiment_set: list[None]


class Cohorts(Page[Cohort]):
    """A page of cohorts."""


class CohortWithMembers(Cohort, kw_only=True):
    """
    A cohort with its members.

    Attributes:
        members: Distinct ids, or group keys, of a static cohort; told to keys that write flags.
    """

    members: list[str] | UnsetType = UNSET


class PersonMember(Struct):
    """
    A person in a static cohort.

    Attributes:
        id: The distinct id that is in it.
    """

    type: Literal["person"]
    id: str
    distinct_ids: list[str]


class PersonMembers(Page[PersonMember]):
    """A page of the members of a cohort of persons."""


class GroupMember(Struct):
    """
    A group in a static cohort.

    Attributes:
        id: The group's key.
    """

    type: Literal["group"]
    id: str
    group_type_index: TypeIndex
    group_key: str


class GroupMembers(Page[GroupMember]):
    """A page of the members of a cohort of groups."""


class Members(Struct):
    """
    Members of a static cohort.

    Attributes:
        members: Distinct ids, or group keys.
    """

    members: list[str]


class PersonIds(Struct):
    """
    Members of a static cohort, as PostHog spells it.

    Attributes:
        person_ids: Distinct ids.
    """

    person_ids: list[str]
