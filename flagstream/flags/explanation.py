"""Why a flag answers as it does: what an explanation consists of."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

from msgspec import Struct

from .bucketing import Bucketing
from .evaluation import Reason


class Origin(Struct, kw_only=True):
    """
    Where a value comes from.

    Attributes:
        source: `server` is what the server adds, as `$group_key`. `unknown` is what may have been
            there before anything that is kept.
        version: Of the write, as the states count them.
        written_at: When it was written; null where the log does not have it any more.
    """

    source: Literal["request", "stored", "server", "missing", "unknown"]
    version: int | None = None
    written_at: str | None = None


Origins = Callable[[str | None, str], Origin]
"""Of the property of a group of a type, or for None of the person."""


class Dependency(Struct, frozen=True, kw_only=True):
    """What a flag answered that another depends on; null where there is none, or it is off."""

    key: str | None
    value: str | bool
    reason: Reason | None


class FilterExplanation(Struct, kw_only=True, tag_field="kind", tag="filter"):
    """
    One filter, and what it saw.

    Attributes:
        value: What was wanted.
        is_negated: It holds where its test does not.
        group_type: Whose property it looks at; null for the person's.
        matched: What it came to, negated or not.
        seen: The value that it saw.
        cohort: The id of the cohort that it asks, which is explained beside the conditions.
        note: Why nobody can match, or what is missing.
    """

    type: str
    key: str
    operator: str
    value: Any
    is_negated: bool = False
    group_type: str | None = None
    matched: bool
    seen: Any = None
    origin: Origin | None = None
    cohort: int | None = None
    flag: Dependency | None = None
    note: str | None = None


class GroupExplanation(Struct, kw_only=True, tag_field="kind", tag="group"):
    """Filters of a cohort joined by `AND` or `OR`."""

    type: Literal["AND", "OR"]
    matched: bool
    values: list["GroupExplanation | FilterExplanation"]


def tests_of(group: GroupExplanation) -> Iterator[FilterExplanation]:
    """Walk through all filters of a group, and of the groups within it."""
    for each in group.values:
        if isinstance(each, GroupExplanation):
            yield from tests_of(each)
        else:
            yield each


class CohortExplanation(Struct, kw_only=True):
    """
    A cohort that filters asked.

    Attributes:
        group_type: Of the groups that are in it; null for persons.
        matched: Whoever it is about is in it.
        filters: Null of a static one, whose members are listed.
    """

    id: int
    name: str | None
    group_type: str | None
    is_static: bool
    matched: bool
    filters: GroupExplanation | None


class Rollout(Struct, kw_only=True):
    """
    Where the hash puts whoever is bucketed, and how many the rollout lets in.

    Attributes:
        identified_by: `first_distinct_id` is that of who the person was before being identified.
        identifier: What was hashed with the flag's key; null for who may not read it.
        percentage: From 0 to below 100.
    """

    identified_by: Literal["group_key", "distinct_id", "device_id", "first_distinct_id"]
    identifier: str | None
    bucketing: Bucketing
    percentage: float
    rollout_percentage: float
    is_inside: bool


class VariantRange(Struct, kw_only=True):
    """A variant, and the part of the draw that it has, in percent; the end is not in it."""

    key: str
    start: float
    end: float


class VariantDraw(Struct, kw_only=True):
    """
    Which variant whoever matches gets.

    Attributes:
        percentage: Where a second hash puts the identifier.
        is_fixed: The condition names the variant: nothing is drawn.
    """

    variant: str | None
    is_fixed: bool
    percentage: float
    ranges: list[VariantRange]


class ConditionExplanation(Struct, kw_only=True):
    """
    One condition, asked by itself.

    Attributes:
        index: From 0.
        group_type: Whom it is about; null for the person.
        is_reached: None before it has decided.
        is_absent: Whom it is about, or the device that is hashed, is not known.
        matched: The filters match, and the rollout lets in.
        rollout: Null where nobody is there to be hashed.
        variants: Null where the flag has none, or nobody is there.
    """

    index: int
    group_type: str | None
    description: str | None
    is_reached: bool
    is_absent: bool
    matched: bool
    reason: Reason
    filters: list[FilterExplanation]
    rollout: Rollout | None
    variants: VariantDraw | None


class HoldoutExplanation(Struct, kw_only=True):
    """The holdout of a flag, which goes before its conditions."""

    id: int
    exclusion_percentage: float
    identifier: str
    percentage: float
    is_held_out: bool


class EnrollmentExplanation(Struct, kw_only=True):
    """
    The person's own choice, which goes before everything else.

    Attributes:
        property: That holds it.
        is_enrolled: Null where the person has not chosen.
    """

    property: str
    seen: Any
    origin: Origin
    is_enrolled: bool | None


class Explanation(Struct, kw_only=True):
    """
    What a flag answers, and all that this follows from.

    Attributes:
        value: The variant, or whether it is on.
        payload: JSON text.
        failed: It cannot be judged; clients keep what they knew of it.
        condition_index: Of the condition that decided or came closest.
        description: The reason in words.
        early_exit: A rollout that leaves out whose filters match ends the evaluation.
        conditions: In the order in which they are asked.
        cohorts: That the filters ask, and those that these ask.
    """

    key: str
    id: int
    version: int
    value: str | bool
    enabled: bool
    variant: str | None
    payload: str | None
    failed: bool
    reason: Reason
    condition_index: int | None
    description: str
    enrollment: EnrollmentExplanation | None = None
    holdout: HoldoutExplanation | None = None
    early_exit: bool = False
    conditions: list[ConditionExplanation] = []
    cohorts: list[CohortExplanation] = []
