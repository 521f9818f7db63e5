"""What definitions consist of: PostHog's flags and cohorts, checked strictly."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast, get_args

import orjson
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from .bucketing import Bucketing

MAX_GROUP_TYPES = 5
MAX_INTEGER = 2**53 - 1  # the largest that every client reads exactly

PropertyOperator = Literal[
    "exact",
    "is_not",
    "icontains",
    "not_icontains",
    "icontains_multi",
    "not_icontains_multi",
    "starts_with",
    "not_starts_with",
    "ends_with",
    "not_ends_with",
    "regex",
    "not_regex",
    "gt",
    "gte",
    "lt",
    "lte",
    "between",
    "not_between",
    "is_set",
    "is_not_set",
    "is_date_before",
    "is_date_after",
    "is_date_exact",
    "semver_eq",
    "semver_neq",
    "semver_gt",
    "semver_gte",
    "semver_lt",
    "semver_lte",
    "semver_tilde",
    "semver_caret",
    "semver_wildcard",
]
CohortOperator = Literal["in", "not_in"]
Operator = Literal[PropertyOperator, CohortOperator, "flag_evaluates_to"]
_OPERATOR_ALIASES = {"min": "gte", "max": "lte"}


def _refuse_unsupported(value: Any) -> Any:
    """Let only pass what leaves the feature off: a flag is never judged without its rules."""
    if value is None or value is False:
        return value
    raise PydanticCustomError("unsupported", "null or false, this is not supported")


def _refuse_reserved(_: Any) -> Any:
    raise PydanticCustomError("reserved_config_version", "no member of this reserved name")


def _check_json(value: Any) -> Any:
    """Refuse what the document for local evaluation could not carry."""
    if isinstance(value, str) and value.isascii():
        return value
    try:
        _encode(value)
        orjson.dumps(value)
    except (RecursionError, TypeError, ValueError):
        raise PydanticCustomError(
            "json", "JSON in valid Unicode, integers of 64 bits, without NaN"
        ) from None
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _as_json_text(payload: Any) -> str:
    """Encode a payload; a text that is JSON already is left as it is, since clients parse it."""
    try:
        if isinstance(payload, str) and _is_json(payload):
            return payload
        text = _encode(payload)
        # Refuses what is nested without end; how deep the encoder goes is the interpreter's matter.
        orjson.loads(text.encode())
    except (RecursionError, TypeError, ValueError):
        raise PydanticCustomError("payload", "JSON in valid Unicode, without NaN") from None
    return text


def _is_json(text: str) -> bool:
    text.encode()
    try:
        _decode(text)
    except ValueError:
        return False
    return True


_Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,400}$")]
_VariantKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]{1,400}$")]
_Percentage = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
GroupTypeIndex = Annotated[int, Field(ge=0, lt=MAX_GROUP_TYPES)]
_Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
_Payload = Annotated[Any, AfterValidator(_as_json_text)]
_Unsupported = Annotated[
    Any, AfterValidator(_refuse_unsupported), WithJsonSchema({"enum": [None, False]})
]
_Reserved = Annotated[Any, AfterValidator(_refuse_reserved), WithJsonSchema({"not": {}})]
_Operator = Annotated[
    Operator, WithJsonSchema({"enum": [*get_args(Operator), *_OPERATOR_ALIASES, None]})
]


class Part(BaseModel):
    """Base: types are strict, "42" is not 42; members of unknown names are dropped."""

    model_config = ConfigDict(frozen=True, strict=True)


class PropertyFilter(Part):
    """
    One test: of a property, of membership in a cohort, or of another flag's value.

    Attributes:
        key: The property's name; of a flag its id or key; of a cohort nothing that counts.
        type: Whose property: the person's, that of the group of *group_type_index*, where None is
            the group that the condition is about, or what is known of the person besides. What a
            person did (``behavioral``) is not judged at flag time; only cohorts hold it.
        value: What is compared with, a cohort's id, or the value that the other flag must have.
            None never matches, but for ``is_set`` and ``is_not_set``.
        negation: Turns the test around; counts in cohorts alone.
        dependency_chain: In a document for local evaluation; makes *key* a flag's key.
    """

    key: str
    type: Literal["person", "group", "person_metadata", "cohort", "flag", "behavioral"]
    operator: _Operator = "exact"
    value: Annotated[Any, AfterValidator(_check_json)] = None
    group_type_index: GroupTypeIndex | None = None
    negation: bool | None = None
    dependency_chain: Annotated[tuple[str, ...], Field(strict=False)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _canonical_operator(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        row = cast("dict[str, Any]", data)
        operator = row.get("operator")
        if row.get("type") == "cohort":
            # Before cohorts had operators of their own, they were named with the default one.
            if operator is None or operator == "exact":
                return {**row, "operator": "in"}
        elif row.get("type") == "behavioral" or (operator is None and "operator" in row):
            return {name: value for name, value in row.items() if name != "operator"}
        elif isinstance(operator, str) and operator in _OPERATOR_ALIASES:
            return {**row, "operator": _OPERATOR_ALIASES[operator]}
        return row


class Condition(Part):
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
    aggregation_group_type_index: GroupTypeIndex | None = None
    description: str | None = None
    sort_key: str | int | None = None

    @property
    def tests(self) -> Sequence[PropertyFilter]:
        """All of them have to match."""
        return self.properties or ()


class Variant(Part):
    """One variant and its share in percent."""

    key: _VariantKey
    rollout_percentage: _Percentage
    name: str | None = None


class Multivariate(Part):
    """The variants, in the order in which their shares are laid out."""

    variants: Annotated[tuple[Variant, ...], Field(strict=False)] | None = None


class Holdout(Part):
    """
    Who is kept out of everything that names this holdout.

    Attributes:
        exclusion_percentage: Below 0 it is 0, above 100 it is 100.
    """

    id: _Count
    exclusion_percentage: Annotated[float, Field(allow_inf_nan=False)]


class Filters(Part):
    """
    The rules of a flag.

    Attributes:
        groups: Conditions in the order of evaluation; the first that matches decides.
        payloads: JSON text by variant key, or by ``true``.
        aggregation_group_type_index: The type of group that is bucketed; None is the person.
        feature_enrollment: The person's property ``$feature_enrollment/<key>`` goes before all.
        early_exit: A rollout that excludes whose properties match ends the evaluation.
    """

    groups: Annotated[tuple[Condition, ...], Field(strict=False)] | None = None
    multivariate: Multivariate | None = None
    payloads: dict[str, _Payload] | None = None
    aggregation_group_type_index: GroupTypeIndex | None = None
    feature_enrollment: bool | None = None
    holdout: Holdout | None = None
    early_exit: bool | None = None
    version: _Reserved = None


class FlagDefinition(Part):
    """
    A flag as it is stored.

    Attributes:
        id: 0 where none was given yet.
        name: The description that people read.
        version: Counts the writes.
        bucketing: Flags that do not say are PostHog's, hence ``sha1``.
        bucketing_identifier: What persons are bucketed by; None is their distinct id.
        ensure_experience_continuity: Persons stay on the side that they were on before they were
            identified.
        evaluation_runtime: Whose requests see the flag; None is all.
        evaluation_contexts: Requests that name contexts see the flag only for one of these; of an
            empty list all do.
    """

    key: _Key
    id: _Count = 0
    name: str | None = None
    filters: Filters = Filters()
    active: bool = True
    deleted: bool = False
    archived: bool | None = None
    version: _Count = 1
    bucketing: Bucketing = "sha1"
    bucketing_identifier: Literal["distinct_id", "device_id"] | None = None
    ensure_experience_continuity: bool | None = None
    evaluation_runtime: Literal["server", "client", "all"] | None = None
    evaluation_contexts: Annotated[tuple[str, ...], Field(strict=False)] | None = Field(
        default=None, validation_alias=AliasChoices("evaluation_contexts", "evaluation_tags")
    )
    is_remote_configuration: bool | None = None
    has_encrypted_payloads: _Unsupported = None
    tags: Annotated[tuple[str, ...], Field(strict=False)] | None = None

    @property
    def conditions(self) -> Sequence[Condition]:
        """In the order of evaluation."""
        return self.filters.groups or ()

    @property
    def tests(self) -> Sequence[PropertyFilter]:
        """Of all conditions."""
        return [test for condition in self.conditions for test in condition.tests]

    @property
    def variants(self) -> Sequence[Variant]:
        """In the order in which their shares are laid out."""
        multivariate = self.filters.multivariate
        return (multivariate and multivariate.variants) or ()


def _kind_of_entry(entry: Any) -> str:
    """Tell a nested group from a leaf, as PostHog's clients do."""
    if isinstance(entry, PropertyGroup):
        return "\0group"
    if not isinstance(entry, dict):
        return "\0filter"
    row = cast("dict[str, Any]", entry)
    is_group = not row or "values" in row or row.get("type") in ("AND", "OR", "property")
    return "\0group" if is_group else "\0filter"


Entry = Annotated[
    Annotated["PropertyGroup", Tag("\0group")] | Annotated[PropertyFilter, Tag("\0filter")],
    Discriminator(_kind_of_entry),
]
"""The tags are left out of JSON paths: no member has a name with a NUL."""


class PropertyGroup(Part):
    """
    Tests joined by AND or OR; ``property`` is AND.

    An empty AND matches everybody, an empty OR nobody.
    """

    type: Annotated[
        Literal["AND", "OR"],
        BeforeValidator(lambda value: "AND" if value == "property" else value),
        WithJsonSchema({"enum": ["AND", "OR", "property"]}),
    ] = "AND"
    values: Annotated[tuple[Entry, ...], Field(strict=False)] = ()


class CohortFilters(Part):
    """The rules of a cohort."""

    properties: PropertyGroup = PropertyGroup()


class CohortDefinition(Part):
    """
    A named set of persons, or of groups of one type.

    Attributes:
        group_type_index: The type of the groups that are in it; None for a cohort of persons.
        is_static: Who is in it is listed in *members*, and *filters* do not count.
        members: Distinct ids, or group keys.
    """

    id: _Count
    name: str | None = None
    description: str | None = None
    filters: CohortFilters = CohortFilters()
    group_type_index: GroupTypeIndex | None = None
    is_static: bool = False
    members: Annotated[tuple[str, ...], Field(strict=False)] = ()
    deleted: bool = False
