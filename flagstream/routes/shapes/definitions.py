"""Flags, cohorts and projects, as they are read and changed."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from flagstream.flags.model import CohortFilters, Filters
from flagstream.openapi import Body

from .common import Count, Id, Page, Time, TypeIndex

Bucketing = Literal["murmur3", "sha1"]
FlagKey = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,400}$", examples=["new-billing"])]
Name = Annotated[str, Meta(min_length=1, max_length=400)]
Percentage = Annotated[float, Meta(ge=0, le=100)]


class FlagChange(Struct, kw_only=True, forbid_unknown_fields=True):
    """
    What is to become of a flag; what is not named stays.

    What an answer holds besides may be sent back, and is not looked at.

    Attributes:
        key: Of a new flag; it never changes.
        name: The description that people read.
        version: That the change is made on top of; refused with 409 if there is a newer one.
        filters: Of these, too, what is not named stays.
        rollout_percentage: In short for `filters` with the one condition that it means.
        deleted: Hides it, or brings it back.
        evaluation_contexts: Requests that name contexts see the flag only for one of these.
    """

    key: FlagKey | UnsetType = UNSET
    name: str | UnsetType | None = UNSET
    active: bool | UnsetType = UNSET
    archived: bool | UnsetType | None = UNSET
    deleted: bool | UnsetType = UNSET
    version: Count | UnsetType = UNSET
    bucketing: Bucketing | UnsetType = UNSET
    bucketing_identifier: Literal["distinct_id", "device_id"] | UnsetType | None = UNSET
    ensure_experience_continuity: bool | UnsetType | None = UNSET
    evaluation_runtime: Literal["server", "client", "all"] | UnsetType | None = UNSET
    evaluation_contexts: list[str] | UnsetType | None = UNSET
    is_remote_configuration: bool | UnsetType | None = UNSET
    tags: list[str] | UnsetType | None = UNSET
    filters: Filters | UnsetType = UNSET
    rollout_percentage: Percentage | UnsetType | None = UNSET


NEW_FLAG = Body(
    Annotated[FlagChange, Meta(extra_json_schema={"required": ["key"]})],
    example={
        "key": "new-billing",
        "name": "The new billing page",
        "filters": {
            "aggregation_group_type_index": 0,
            "groups": [
                {
                    "properties": [
                        {
                            "key": "plan",
                            "value": ["gold"],
                            "operator": "exact",
                            "type": "group",
                            "group_type_index": 0,
                        }
                    ],
                    "rollout_percentage": 50,
                }
            ],
        },
    },
)
FLAG_CHANGE = Body(FlagChange, example={"active": False})


class Flag(Struct, kw_only=True):
    """
    A flag. What PostHog has and flagstream has not is always null, false or empty.

    Attributes:
        name: The description that people read.
        version: Counts the writes.
    """

    id: Id
    key: FlagKey
    name: str | None
    filters: Filters
    active: bool
    archived: bool | None
    deleted: bool
    version: Id
    status: Literal["ACTIVE", "INACTIVE", "DELETED"]
    bucketing: Bucketing
    bucketing_identifier: Literal["distinct_id", "device_id"] | None
    ensure_experience_continuity: bool | None
    evaluation_runtime: Literal["server", "client", "all"] | None
    evaluation_contexts: list[str] | None
    is_remote_configuration: bool | None
    tags: list[str] | None
    created_at: Time
    updated_at: Time

    has_encrypted_payloads: bool
    created_by: None
    last_modified_by: None
    experiment_set: list[None]
    experiment_set_metadata: list[None]
    surveys: list[None]
    features: list[None]
    can_edit: bool
    usage_dashboard: None
    analytics_dashboards: list[None]
    has_enriched_analytics: bool
    user_access_level: Literal["editor"]
    creation_context: Literal["feature_flags"]
    last_called_at: None
    is_used_in_replay_settings: bool
    is_eligible_for_experiment: bool
    rollback_conditions: None
    performed_rollback: None


class UnreadableFlag(Struct):
    """
    A flag that a server of another version wrote, as that wrote it; it is not evaluated.

    Attributes:
        problems: What this one cannot read.
    """

    id: Id
    key: str
    problems: list[str]


class Flags(Page[Flag]):
    """A page of flags."""


class FlagStatus(Struct):
    """Whether a flag is evaluated."""

    status: Literal["ACTIVE", "INACTIVE", "DELETED"]
    reason: str


class FlagName(Struct):
    """A flag, by its names."""

    id: Id
    key: FlagKey
    name: str | None


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
        members: Distinct ids, or group keys, of a static cohort.
    """

    members: list[str]


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


class SettingsChange(Struct, kw_only=True, forbid_unknown_fields=True):
    """
    What is to become of a project's settings; what is not named stays.

    Attributes:
        bucketing: Of new flags.
        remember_active_groups: Groups that a flag request leaves out are filled from the session's.
        timezone: In which dates without an offset are read.
        property_matching_version: How `exact` compares true and false: 1 by truth, 2 by text.
        is_quota_limited: No flag is evaluated; clients are told that the quota is used up.
    """

    name: Name | UnsetType = UNSET
    bucketing: Bucketing | UnsetType = UNSET
    remember_active_groups: bool | UnsetType = UNSET
    timezone: Annotated[str, Meta(examples=["Europe/Berlin"])] | UnsetType = UNSET
    property_matching_version: Literal[1, 2] | UnsetType = UNSET
    is_quota_limited: bool | UnsetType = UNSET


class Project(Struct, kw_only=True):
    """
    A project with its settings.

    Attributes:
        api_token: The public token.
    """

    id: Id
    api_token: str
    name: str
    bucketing: Bucketing
    remember_active_groups: bool
    timezone: str
    property_matching_version: Literal[1, 2]
    is_quota_limited: bool


class Projects(Page[Project]):
    """A page of projects."""


class Key(Struct, kw_only=True):
    """
    A key of a project.

    Attributes:
        value: Of a secret one its end.
        reads: What who holds it reads.
        writes: What who holds it writes.
    """

    kind: Literal["project_token", "secret_key"]
    value: str
    is_masked: bool
    reads: list[Literal["flags", "everything"]]
    writes: list[Literal["events", "definitions", "groups", "settings"]]


class Keys(Page[Key]):
    """A page of keys."""


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
