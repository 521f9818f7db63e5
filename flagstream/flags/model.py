"""What a flag definition consists of: PostHog's row and filters, checked strictly."""

import json
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from .bucketing import Bucketing

MAX_GROUP_TYPES = 5
MAX_INTEGER = 2**53 - 1  # the largest that every client reads exactly

Operator = Literal[
    "exact",
    "is_not",
    "icontains",
    "not_icontains",
    "regex",
    "not_regex",
    "gt",
    "gte",
    "lt",
    "lte",
    "is_set",
    "is_not_set",
]
_OPERATOR_ALIASES = {"min": "gte", "max": "lte"}


def _canonical_operator(operator: Any) -> Any:
    if operator is None:
        return "exact"
    return _OPERATOR_ALIASES.get(operator, operator) if isinstance(operator, str) else operator


def _refuse_unsupported(value: Any) -> Any:
    """Let only pass what leaves the feature off: a flag is never judged without its rules."""
    if value is None or value is False:
        return value
    raise PydanticCustomError("unsupported", "null or false, this is not supported")


def _refuse_reserved(_: Any) -> Any:
    raise PydanticCustomError("reserved_config_version", "no member of this reserved name")


def _check_json(value: Any) -> Any:
    """Refuse what the document for local evaluation could not carry."""
    try:
        json.dumps(value, allow_nan=False)
        orjson.dumps(value)
    except (RecursionError, TypeError, ValueError):
        raise PydanticCustomError(
            "json", "JSON in valid Unicode, integers of 64 bits, without NaN"
        ) from None
    return value


def _as_json_text(payload: Any) -> str:
    """Encode a payload; a text that is JSON already is left as it is, since clients parse it."""
    try:
        if isinstance(payload, str) and _is_json(payload):
            return payload
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        # Refuses what is nested without end; how deep the encoder goes is the interpreter's matter.
        orjson.loads(text.encode())
    except (RecursionError, TypeError, ValueError):
        raise PydanticCustomError("payload", "JSON in valid Unicode, without NaN") from None
    return text


def _is_json(text: str) -> bool:
    text.encode()
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return False
    return True


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,400}$")]
_VariantKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]{1,400}$")]
_Percentage = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
_GroupTypeIndex = Annotated[int, Field(ge=0, lt=MAX_GROUP_TYPES)]
_Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
_Payload = Annotated[Any, AfterValidator(_as_json_text)]
_Unsupported = Annotated[Any, AfterValidator(_refuse_unsupported)]
_Reserved = Annotated[Any, AfterValidator(_refuse_reserved)]


class _Part(BaseModel):
    """Base: types are strict, "42" is not 42; members of unknown names are dropped."""

    model_config = ConfigDict(frozen=True, strict=True)


class PropertyFilter(_Part):
    """
    One test of one property.

    Attributes:
        type: Whose property: the person's, or that of the group of *group_type_index*, where None
            is the group that the condition is about.
        value: What is compared with; None never matches, but for ``is_set`` and ``is_not_set``.
    """

    key: str
    type: Literal["person", "group"]
    operator: Annotated[Operator, BeforeValidator(_canonical_operator)] = "exact"
    value: Annotated[Any, AfterValidator(_check_json)] = None
    group_type_index: _GroupTypeIndex | None = None


class Condition(_Part):
    """
    One release condition: all properties match, and the rollout includes the identifier.

    Attributes:
        rollout_percentage: None is 100.
        variant: Whoever matches gets this one, if the flag has it.
        aggregation_group_type_index: Where it is given, the condition's own; None is the person.
    """

    properties: Annotated[tuple[PropertyFilter, ...], Field(strict=False)] | None = None
    rollout_percentage: _Percentage | None = None
    variant: str | None = None
    aggregation_group_type_index: _GroupTypeIndex | None = None
    description: str | None = None
    sort_key: str | int | None = None


class Variant(_Part):
    """One variant and its share in percent."""

    key: _VariantKey
    rollout_percentage: _Percentage
    name: str | None = None


class Multivariate(_Part):
    """The variants, in the order in which their shares are laid out."""

    variants: Annotated[tuple[Variant, ...], Field(strict=False)] | None = None


class Filters(_Part):
    """
    The rules of a flag.

    Attributes:
        groups: Conditions in the order of evaluation; the first that matches decides.
        payloads: JSON text by variant key, or by ``true``.
        aggregation_group_type_index: The type of group that is bucketed; None is the person.
    """

    groups: Annotated[tuple[Condition, ...], Field(strict=False)] | None = None
    multivariate: Multivariate | None = None
    payloads: dict[str, _Payload] | None = None
    aggregation_group_type_index: _GroupTypeIndex | None = None
    early_exit: _Unsupported = None
    feature_enrollment: _Unsupported = None
    holdout: _Unsupported = None
    version: _Reserved = None


class FlagDefinition(_Part):
    """
    A flag as it is stored.

    Attributes:
        id: 0 where none was given yet.
        name: The description that people read.
        version: Counts the writes.
        bucketing: Flags that do not say are PostHog's, hence ``sha1``.
        bucketing_identifier: What persons are bucketed by; None is their distinct id.
        ensure_experience_continuity: Makes SDKs ask the server. Which id a person was bucketed by
            before they were identified is not remembered: they may change sides once.
    """

    key: _Key
    id: _Count = 0
    name: str | None = None
    filters: Filters = Filters()
    active: bool = True
    deleted: bool = False
    version: _Count = 1
    bucketing: Bucketing = "sha1"
    bucketing_identifier: Literal["distinct_id", "device_id"] | None = None
    ensure_experience_continuity: bool | None = None
    evaluation_runtime: Literal["server", "client", "all"] | None = None
    evaluation_contexts: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    is_remote_configuration: bool | None = None
    tags: Annotated[tuple[str, ...], Field(strict=False)] | None = None
