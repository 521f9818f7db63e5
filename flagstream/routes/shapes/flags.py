"""Flag requests and their answers, remote configuration, and definitions for SDKs."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from flagstream.flags.evaluation import Reason
from flagstream.flags.model import Filters, PropertyGroup
from flagstream.openapi import Body

from .bodies import FORM
from .common import Count, Properties, TypeIndex, UnixMs

Uuid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
GroupKey = str | float | bool | None | list[Any] | dict[str, Any]
_QuotaLimited = list[Literal["feature_flags"]] | UnsetType
Text = str | float | UnsetType | None


class FlagsRequest(Struct, kw_only=True):
    """
    Whose flags are asked for.

    Attributes:
        token: The project's public token; `api_key` and `$token` are other spellings.
        distinct_id: Of whom.
        $anon_distinct_id: Before login, whose side of flags with `ensure_experience_continuity`
            the person stays on.
        groups: Key by type; what names no group is left out.
        person_properties: Go before the stored ones.
        group_properties: By type; go before the stored ones.
        flag_keys: Only these, and what they depend on, are evaluated.
        disable_flags: No flag is evaluated.
        evaluation_contexts: Only flags without contexts, or with one of these, are answered.
        evaluation_runtime: Where it is not given it is told from the headers.
    """

    token: str | UnsetType = UNSET
    api_key: str | UnsetType = UNSET
    distinct_id: str | float
    anon_distinct_id: Text = field(default=UNSET, name="$anon_distinct_id")
    device_id: Text = field(default=UNSET, name="$device_id")
    session_id: Text = field(default=UNSET, name="$session_id")
    groups: dict[str, GroupKey] | UnsetType | None = UNSET
    person_properties: Properties | UnsetType | None = UNSET
    group_properties: dict[str, Properties] | UnsetType | None = UNSET
    flag_keys: list[str] | UnsetType | None = UNSET
    flag_keys_to_evaluate: list[str] | UnsetType | None = UNSET
    disable_flags: bool | UnsetType | None = UNSET
    evaluation_contexts: list[str] | UnsetType | None = UNSET
    evaluation_runtime: Literal["server", "client", "all"] | UnsetType | None = UNSET


ASKED = Body(
    FlagsRequest,
    others=FORM,
    example={"token": "phc_…", "distinct_id": "user-1", "groups": {"organization": "acme"}},
)


class FlagReason(Struct):
    """
    Why a flag answers as it does.

    Attributes:
        condition_index: From 0.
        description: For people.
    """

    code: Reason
    condition_index: Count | None
    description: str


class FlagMetadata(Struct):
    """
    What is known of a flag besides.

    Attributes:
        description: Always null: it is for those who manage flags.
        payload: JSON text.
    """

    id: Count
    version: Count
    description: None
    payload: str | None
    has_experiment: bool


class FlagAnswer(Struct, kw_only=True):
    """
    One flag, evaluated.

    Attributes:
        variant: Goes before `enabled`.
        failed: It could not be judged; clients keep what they knew of it.
    """

    key: str
    enabled: bool
    variant: str | None
    reason: FlagReason
    metadata: FlagMetadata
    failed: bool | UnsetType = UNSET


class FlagAnswers(Struct, kw_only=True):
    """
    The flags of a user, as versions from 2 on have them; with `config` also the configuration.

    Attributes:
        errorsWhileComputingFlags: One of the flags could not be judged.
        requestId: That of `X-Request-Id`, or a new one.
        quotaLimited: The project is over its quota, and no flag was evaluated.
    """

    flags: dict[str, FlagAnswer]
    errors: bool = field(name="errorsWhileComputingFlags")
    request_id: Uuid = field(name="requestId")
    evaluated_at: UnixMs = field(name="evaluatedAt")
    quota_limited: _QuotaLimited = field(default=UNSET, name="quotaLimited")


class OldFlagAnswers(Struct, kw_only=True):
    """
    The flags of a user in the older shapes; with `config` also the configuration.

    Attributes:
        featureFlags: The variant, or whether it is on, by key; of the oldest the keys of those
            that are on.
        featureFlagPayloads: JSON texts.
        errorsWhileComputingFlags: One of the flags could not be judged.
        quotaLimited: The project is over its quota, and no flag was evaluated.
    """

    feature_flags: dict[str, str | bool] | list[str] = field(name="featureFlags")
    payloads: dict[str, str] | UnsetType = field(default=UNSET, name="featureFlagPayloads")
    errors: bool = field(name="errorsWhileComputingFlags")
    request_id: Uuid = field(name="requestId")
    evaluated_at: UnixMs = field(name="evaluatedAt")
    quota_limited: _QuotaLimited = field(default=UNSET, name="quotaLimited")


class OtherCohort(Struct, kw_only=True):
    """
    The rules of a cohort that only flagstream's own evaluator can judge.

    Attributes:
        group_type_index: The type of the groups that are in it; null for a cohort of persons.
    """

    type: Literal["AND", "OR"]
    values: list[dict[str, Any]]
    group_type_index: TypeIndex | None


class LocalFlag(Struct, kw_only=True):
    """
    A flag, as SDKs evaluate it.

    Attributes:
        ensure_experience_continuity: Also where an SDK has to ask the server for other reasons.
        original_filters: As they are stored, where others are sent.
    """

    id: Count
    team_id: Literal[1]
    key: str
    name: str
    filters: Filters
    active: bool
    deleted: bool
    version: Count
    ensure_experience_continuity: bool
    bucketing: Literal["murmur3", "sha1"]
    bucketing_identifier: Literal["distinct_id", "device_id"] | None
    evaluation_runtime: Literal["server", "client", "all"]
    evaluation_contexts: list[str]
    has_encrypted_payloads: bool
    has_experiment: bool
    original_filters: Filters | UnsetType = UNSET


class LocalDefinitions(Struct, kw_only=True):
    """
    All definitions of a project.

    Attributes:
        group_type_mapping: Names by index.
        cohorts: Rules by id.
        other_cohorts: Likewise, of those that no SDK judges.
    """

    flags: list[LocalFlag]
    group_type_mapping: dict[str, str]
    cohorts: dict[str, PropertyGroup]
    other_cohorts: dict[str, OtherCohort]
    property_matching_version: Literal[1, 2]
    timezone: str
