"""Flags, as they are read and changed."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from flagstream.flags.model import Filters
from flagstream.openapi import Body

from .common import Bucketing, Count, Id, Page, Time

FlagKey = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,400}$", examples=["new-billing"])]


Percentage = Annotated[float, Meta(ge=0, le=100)]


class FlagMembers(Struct, kw_only=True, forbid_unknown_fields=True):
    """Members of a flag that can be changed; what is not named stays."""

    name: str | UnsetType | None = UNSET
    active: bool | UnsetType = UNSET
    archived: bool | UnsetType | None = UNSET
    bucketing: Bucketing | UnsetType = UNSET
    bucketing_identifier: Literal["distinct_id", "device_id"] | UnsetType | None = UNSET
    ensure_experience_continuity: bool | UnsetType | None = UNSET
    evaluation_runtime: Literal["server", "client", "all"] | UnsetType | None = UNSET
    evaluation_contexts: list[str] | UnsetType | None = UNSET
    is_remote_configuration: bool | UnsetType | None = UNSET
    tags: list[str] | UnsetType | None = UNSET
    filters: Filters | UnsetType = UNSET


class FlagChange(FlagMembers, kw_only=True, forbid_unknown_fields=True):
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
    deleted: bool | UnsetType = UNSET
    version: Count | UnsetType = UNSET
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


class AppliedStep(Struct):
    """
    The step of a schedule that was applied last.

    Attributes:
        version: Of the flag from then on.
    """

    step: Id
    version: Id


class Flag(Struct, kw_only=True):
    """
    A flag. What PostHog has and flagstream has not is always null, false or empty.

    Attributes:
        name: The description that people read.
        version: Counts the writes.
        scheduled_steps: How far its schedules are, by their ids.
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
    scheduled_steps: dict[str, AppliedStep]

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
