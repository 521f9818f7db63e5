"""
A flag's answer explained: by the rules that made it, asked one by one.

What is said of a filter, of a cohort or of a rollout is what the compiled check of it answers, so
that there is one evaluation and not a second one that could disagree.
"""

from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Any, Literal, NamedTuple

from msgspec.structs import asdict

from . import bucketing
from .checks import Compiler, Needs, entry_check
from .compilation import CompiledProject
from .compiled_flags import CompiledFlags
from .compiler import answers_of
from .conditions import Plan, condition_rule, plan_of
from .context import METADATA
from .evaluation import Evaluation, EvaluationContext, Reason
from .explanation import (
    CohortExplanation,
    ConditionExplanation,
    Dependency,
    EnrollmentExplanation,
    Explanation,
    FilterExplanation,
    GroupExplanation,
    HoldoutExplanation,
    Origin,
    Origins,
    Rollout,
    VariantDraw,
    VariantRange,
)
from .model import Condition, FlagDefinition, Holdout, PropertyFilter, PropertyGroup
from .overrides import enrollment_property, holdout_identifier, sticky_request
from .parse import aggregation, source
from .slots import ANSWERS, DEVICE, NOBODY, PERSON, STICKY, Request, slot_of

_EVERYBODY = 100.0
_ABSENT: Any = object()
_IDENTIFIED_BY: dict[int, Literal["distinct_id", "device_id", "first_distinct_id"]] = {
    PERSON: "distinct_id",
    DEVICE: "device_id",
    STICKY: "first_distinct_id",
}


def explain(
    project: CompiledProject,
    flags: CompiledFlags,
    key: str,
    context: EvaluationContext,
    origins: Origins,
) -> Explanation:
    """
    Explain what a flag answers. Total.

    Args:
        flags: Made of *project*, as whoever asks sees them.
        key: Of one of *flags*, or of a flag that is not active.
        context: As for :meth:`CompiledFlags.answers`.
        origins: Tells where the properties in it come from.
    """
    if key in project.disabled:
        return _explanation(project.disabled[key])
    answer, request = flags.asked(context, key)
    if key in project.missing or key not in project.parsed.flags:
        return _explanation(answer)
    definition = project.parsed.flags[key]
    if definition.ensure_experience_continuity and request[PERSON] is not None:
        request = sticky_request(key, request)
    explaining = _Explaining(project, definition, request, origins)
    explanation = _explanation(answer)
    explanation.early_exit = bool(definition.filters.early_exit)
    explanation.enrollment = explaining.enrollment()
    explanation.holdout = explaining.holdout()
    overruled = answer.reason in (Reason.SUPER_CONDITION_VALUE, Reason.HOLDOUT_CONDITION_VALUE)
    explanation.conditions = list(explaining.conditions(is_reached=not overruled))
    explanation.cohorts = explaining.cohorts()
    return explanation


def _explanation(answer: Evaluation) -> Explanation:
    return Explanation(
        key=answer.key,
        id=answer.id,
        version=answer.version,
        value=answer.value,
        enabled=answer.enabled,
        variant=answer.variant,
        payload=answer.payload,
        failed=answer.failed,
        reason=answer.reason,
        condition_index=answer.condition_index,
        description=answer.description,
    )


def explanation_as(explanation: Explanation, answer: Evaluation) -> Explanation:
    """Put another answer to what was explained, as of a flag that cannot be judged after all."""
    told = asdict(_explanation(answer))
    for name in ("enrollment", "holdout", "early_exit", "conditions", "cohorts"):
        told[name] = getattr(explanation, name)
    return Explanation(**told)


class _Asked(NamedTuple):
    """A condition, and its own answer."""

    plan: Plan
    answer: Evaluation
    is_exit: bool


class _Explaining:
    """One flag, one request, and the cohorts that were come across."""

    def __init__(
        self,
        project: CompiledProject,
        definition: FlagDefinition,
        request: Request,
        origins: Origins,
    ) -> None:
        self._project = project
        self._compiler: Compiler = project.compiler
        self._definition = definition
        self._request = request
        self._origins = origins
        self._type_names = {index: name for name, index in project.parsed.group_types.items()}
        self._cohort_ids: dict[int, None] = {}

    def enrollment(self) -> EnrollmentExplanation | None:
        """Explain the person's own choice; None where the flag does not ask for it."""
        if not self._definition.filters.feature_enrollment:
            return None
        name = enrollment_property(self._definition)
        seen, origin = self._seen(PERSON, None, name)
        is_enrolled = None if origin.source == "missing" else seen is True or seen == "true"
        return EnrollmentExplanation(
            property=name, seen=seen, origin=origin, is_enrolled=is_enrolled
        )

    def holdout(self) -> HoldoutExplanation | None:
        """Explain the holdout; None where there is none."""
        holdout: Holdout | None = self._definition.filters.holdout
        if holdout is None:
            return None
        kind = self._definition.bucketing
        identifier = holdout_identifier(self._definition)(self._request)
        is_held_out = bucketing.holdout(kind, holdout.exclusion_percentage)
        return HoldoutExplanation(
            id=holdout.id,
            exclusion_percentage=holdout.exclusion_percentage,
            identifier=_text(identifier),
            percentage=bucketing.holdout_percentage(kind, identifier),
            is_held_out=is_held_out is None or is_held_out(identifier),
        )

    def conditions(self, *, is_reached: bool) -> Iterator[ConditionExplanation]:
        """Explain each condition, also those behind the one that decided."""
        early_exit = self._definition.filters.early_exit
        for index, condition in enumerate(self._definition.conditions):
            asked = self._ask(condition, index)
            yield self._condition(condition, index, asked, is_reached=is_reached)
            is_last = asked.answer.enabled or asked.answer.failed
            is_reached = is_reached and not is_last and not (early_exit and asked.is_exit)

    def _ask(self, condition: Condition, index: int) -> _Asked:
        plan = plan_of(self._definition, condition, self._compiler)
        rule, outside = condition_rule(plan, answers_of(self._definition), index)
        answer = rule(self._request)
        return _Asked(plan, answer, answer is outside)

    def _condition(
        self, condition: Condition, index: int, asked: _Asked, *, is_reached: bool
    ) -> ConditionExplanation:
        plan, answer, _ = asked
        aggregated = aggregation(self._definition, condition)
        actor = self._request[plan.slot]
        return ConditionExplanation(
            index=index,
            group_type=self._type_name(aggregated),
            description=condition.description,
            is_reached=is_reached,
            is_absent=actor is None,
            matched=answer.enabled,
            reason=answer.reason,
            filters=[self._filter(each, aggregated) for each in condition.tests],
            rollout=None if actor is None else self._rollout(plan, condition, actor[1]),
            variants=None if actor is None else self._variants(plan, condition, actor[1]),
        )

    def _rollout(self, plan: Plan, condition: Condition, identifier: bytes) -> Rollout:
        wanted = condition.rollout_percentage
        percentage, _ = self._percentages(identifier)
        return Rollout(
            identified_by=_IDENTIFIED_BY.get(plan.slot, "group_key"),
            identifier=_text(identifier),
            bucketing=self._definition.bucketing,
            percentage=percentage,
            rollout_percentage=_EVERYBODY if wanted is None else wanted,
            is_inside=plan.is_inside is None or plan.is_inside(identifier),
        )

    def _variants(self, plan: Plan, condition: Condition, identifier: bytes) -> VariantDraw | None:
        variants = self._definition.variants
        if not variants:
            return None
        pick = plan.pick if isinstance(plan.pick, int) else plan.pick(identifier)
        ends = accumulate((each.rollout_percentage for each in variants), initial=0.0)
        return VariantDraw(
            variant=plan.variants[pick],
            is_fixed=condition.variant in [each.key for each in variants],
            percentage=self._percentages(identifier)[1],
            ranges=[
                VariantRange(key=each.key, start=start, end=end)
                for each, (start, end) in zip(variants, pairwise(ends), strict=True)
            ],
        )

    def _percentages(self, identifier: bytes) -> tuple[float, float]:
        definition = self._definition
        return bucketing.percentages(definition.bucketing, definition.key, identifier)

    def _filter(self, test: PropertyFilter, aggregated: int | None) -> FilterExplanation:
        needs = Needs()
        matched = self._compiler.check(test, aggregated, needs)(self._request)
        explained = FilterExplanation(
            type=test.type,
            key=test.key,
            operator=test.operator,
            value=test.value,
            # A failing filter lets through whom the flag then fails for; it has matched nobody.
            matched=matched and needs.error is None,
        )
        if needs.error is not None:
            explained.note = "the cohort does not exist, or is defined by itself"
        if test.type == "cohort":
            explained.cohort = test.value
            self._note_cohort(test)
        elif test.type == "flag":
            explained.flag = self._dependency(test)
        elif test.type == "behavioral":
            explained.note = "what a person did cannot be judged here"
        else:
            self._note_seen(explained, test, aggregated)
        return explained

    def _note_seen(
        self, explained: FilterExplanation, test: PropertyFilter, aggregated: int | None
    ) -> None:
        index = source(test, aggregated)
        slot = slot_of(index)
        name = METADATA + test.key if test.type == "person_metadata" else test.key
        explained.group_type = self._type_name(index)
        explained.seen, explained.origin = self._seen(slot, explained.group_type, name)
        if self._request[slot] is None:
            explained.note = f"no group of type {explained.group_type} is known"

    def _seen(self, slot: int, group_type: str | None, name: str) -> tuple[Any, Origin]:
        value = (self._request[slot] or NOBODY)[0].get(name, _ABSENT)
        origin = self._origins(group_type, name)
        if value is not _ABSENT:
            return value, origin
        return None, origin if origin.source == "unknown" else Origin(source="missing")

    def _dependency(self, test: PropertyFilter) -> Dependency:
        key, disabled = self._project.parsed.resolve(test), self._project.disabled
        answers: Mapping[str, Evaluation] = self._request[ANSWERS]
        answer = None if key is None else answers.get(key, disabled.get(key))
        return Dependency(
            key=key,
            value=False if answer is None else answer.value,
            reason=None if answer is None else answer.reason,
        )

    def _note_cohort(self, test: PropertyFilter) -> None:
        if test.value in self._compiler.cohorts:
            self._cohort_ids.setdefault(test.value)

    def cohorts(self) -> list[CohortExplanation]:
        """Explain the cohorts that the filters ask, and those that these ask, once each."""
        explained: list[CohortExplanation] = []
        while pending := list(self._cohort_ids)[len(explained) :]:
            explained.extend(map(self._cohort, pending))
        return explained

    def _cohort(self, cohort_id: int) -> CohortExplanation:
        cohort = self._project.parsed.cohorts[cohort_id]
        own = cohort.group_type_index
        rules = cohort.filters.properties
        return CohortExplanation(
            id=cohort_id,
            name=cohort.name,
            group_type=self._type_name(own),
            is_static=cohort.is_static,
            matched=self._compiler.cohorts[cohort_id].check(self._request),
            filters=None if cohort.is_static else self._group(rules, own),
        )

    def _group(self, group: PropertyGroup, own: int | None) -> GroupExplanation:
        return GroupExplanation(
            type=group.type,
            matched=entry_check(group, own, self._compiler, Needs())(self._request),
            values=[self._entry(entry, own) for entry in group.values],
        )

    def _entry(
        self, entry: PropertyGroup | PropertyFilter, own: int | None
    ) -> GroupExplanation | FilterExplanation:
        if isinstance(entry, PropertyGroup):
            return self._group(entry, own)
        explained = self._filter(entry, own)
        explained.is_negated = bool(entry.negation)
        explained.matched = entry_check(entry, own, self._compiler, Needs())(self._request)
        return explained

    def _type_name(self, index: int | None) -> str | None:
        if index is None:
            return None
        return self._type_names.get(index, f"group type {index}")


def _text(identifier: bytes) -> str:
    return identifier.decode(errors="replace")
