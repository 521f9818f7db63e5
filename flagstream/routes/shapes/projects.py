"""Projects with their settings and public tokens."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from flagstream.openapi import Body

from .common import Bucketing, Id, Name, Page, Time

Rate = Annotated[float, Meta(ge=0, le=1_000_000_000)] | None


class _Settings(Struct, kw_only=True, forbid_unknown_fields=True):
    """
    What may be said of a project besides its name.

    Attributes:
        bucketing: Of new flags.
        remember_active_groups: Groups that a flag request leaves out are filled from the session's.
        timezone: In which dates without an offset are read.
        property_matching_version: How `exact` compares true and false: 1 by truth, 2 by text.
        is_quota_limited: No flag is evaluated; clients are told that the quota is used up.
        max_events_per_s: Instead of the server's limit of this name; null for that one, 0 for no
            limit. The other rates likewise.
        max_api_requests_per_s: At least 1 where it is a limit, so that it can be changed again.
    """

    bucketing: Bucketing | UnsetType = UNSET
    remember_active_groups: bool | UnsetType = UNSET
    timezone: Annotated[str, Meta(examples=["Europe/Berlin"])] | UnsetType = UNSET
    property_matching_version: Literal[1, 2] | UnsetType = UNSET
    is_quota_limited: bool | UnsetType = UNSET
    max_events_per_s: Rate | UnsetType = UNSET
    max_flag_requests_per_s: Rate | UnsetType = UNSET
    max_api_requests_per_s: Rate | UnsetType = UNSET
    max_definition_requests_per_s: Rate | UnsetType = UNSET


class SettingsChange(_Settings, kw_only=True, forbid_unknown_fields=True):
    """What is to become of a project's settings; what is not named stays."""

    name: Name | UnsetType = UNSET


class NewProject(_Settings, kw_only=True, forbid_unknown_fields=True):
    """A project to be made; settings that are not named are as they are for all."""

    name: Name


NEW_PROJECT = Body(NewProject, example={"name": "Staging"})


class OldToken(Struct):
    """
    A public token that was replaced.

    Attributes:
        ends_at: When it stops to be taken.
    """

    api_token: str
    ends_at: Time


class Project(Struct, kw_only=True):
    """
    A project with its settings.

    Attributes:
        api_token: The public token.
        is_archived: Neither tokens nor keys are taken.
    """

    id: Id
    api_token: str
    old_tokens: list[OldToken]
    is_archived: bool
    name: str
    bucketing: Bucketing
    remember_active_groups: bool
    timezone: str
    property_matching_version: Literal[1, 2]
    is_quota_limited: bool
    max_events_per_s: Rate
    max_flag_requests_per_s: Rate
    max_api_requests_per_s: Rate
    max_definition_requests_per_s: Rate


class Projects(Page[Project]):
    """A page of projects."""
