"""Changes of flags that are to come, as they are planned and read."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from flagstream.flags.model import Filters
from flagstream.openapi import Body

from .common import Count, Id, Page, Time
from .management import FlagKey, FlagMembers, Percentage

_Steps = Annotated[int, Meta(ge=2, le=100)]
_Index = Annotated[int, Meta(ge=0)]
StepNumber = Annotated[int, Meta(ge=1, le=100)]


class PlannedChange(FlagMembers, kw_only=True, forbid_unknown_fields=True):
    """What is to become of a flag; what is not named stays, also of `filters`."""


class NewStep(Struct, kw_only=True, forbid_unknown_fields=True):
    """
    One step: either a change, or a wider rollout.

    Attributes:
        scheduled_at: When; null is now.
        rollout_percentage: That of the conditions from then on.
    """

    scheduled_at: Time | UnsetType | None = UNSET
    change: PlannedChange | UnsetType = UNSET
    rollout_percentage: Percentage | UnsetType = UNSET


class Progressive(Struct, kw_only=True, forbid_unknown_fields=True):
    """
    Steps that are evenly spread over a time.

    Attributes:
        steps: How many, with the first and the last.
        starts_at: When the first is; null is now.
        duration_s: From the first to the last.
    """

    from_: Percentage = field(name="from")
    to: Percentage
    steps: _Steps
    starts_at: Time | UnsetType | None = UNSET
    duration_s: Annotated[float, Meta(ge=2, le=315_360_000)]


class NewSchedule(Struct, kw_only=True, forbid_unknown_fields=True):
    """
    Changes that are to come: one `change`, or `steps`, or `progressive`.

    Attributes:
        scheduled_at: When the change is to come; null is now.
        conditions: Indexes of those whose rollouts the steps set; all where none are named.
    """

    scheduled_at: Time | UnsetType | None = UNSET
    change: PlannedChange | UnsetType = UNSET
    conditions: list[_Index] | UnsetType = UNSET
    steps: Annotated[list[NewStep], Meta(min_length=1, max_length=100)] | UnsetType = UNSET
    progressive: Progressive | UnsetType = UNSET


NEW_SCHEDULE = Body(
    NewSchedule,
    example={
        "conditions": [0],
        "steps": [
            {"scheduled_at": None, "rollout_percentage": 60},
            {"scheduled_at": "2999-01-01T00:00:00Z", "rollout_percentage": 100},
        ],
    },
)


class Step(Struct, kw_only=True):
    """
    A step.

    Attributes:
        change: Null where it is a wider rollout.
        rollout_percentage: Null where it is a change.
        applied_at: Null until it is known to be applied, within seconds.
        version: Of the flag from then on.
        change_id: Of the change in the flag's history.
        filters: Of a step that is to come, those that the flag is to have; null where it cannot be,
            and in the list of a project.
    """

    number: StepNumber
    scheduled_at: Time
    status: Literal["pending", "applied", "passed_over", "cancelled"]
    change: dict[str, Any] | None
    rollout_percentage: Percentage | None
    applied_at: Time | None
    version: Id | None
    change_id: str | None
    filters: Filters | None


class Schedule(Struct, kw_only=True):
    """
    Changes of a flag that are to come, or came.

    Attributes:
        reason: Why it is paused, or the flag is not as it was though it was reverted.
        conditions: Indexes of those whose rollouts the steps set.
        author: The end of the key that it was planned with.
        ended_by: That of the key that it was stopped or reverted with.
        version_before: Of the flag, before the first step; null until that.
    """

    id: str
    flag_id: Id
    flag_key: FlagKey
    status: Literal["pending", "running", "paused", "done", "stopped", "reverted"]
    reason: str | None
    conditions: list[Count]
    steps: list[Step]
    author: str
    created_at: Time
    ended_by: str | None
    ended_at: Time | None
    version_before: Id | None


class Schedules(Page[Schedule]):
    """A page of schedules."""
