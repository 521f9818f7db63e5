"""Explanations: they say what the evaluator answers, and why that follows."""

import math

import pytest
from hypothesis import given

from flagstream.flags import (
    CompiledFlags,
    Definitions,
    EvaluationContext,
    Origin,
    Reason,
    compile_project,
    explain,
    parse_project,
)
from flagstream.flags.explanation import FilterExplanation, GroupExplanation
from tests.fakes.definitions import ASKS, GROUP_PROJECTS, GROUP_TYPES, PROJECTS
from tests.projects import project_of

RANKS = [Reason.NO_GROUP_TYPE, Reason.NO_CONDITION_MATCH, Reason.OUT_OF_ROLLOUT_BOUND]


def seen_in(context):
    """Tell of all properties of a context that the request brought them."""

    def origin(group_type, name):
        given = (
            context.person_properties
            if group_type is None
            else context.group_properties.get(group_type, {})
        )
        return Origin(source="request" if name in given else "missing")

    return origin


def explained(project, context, key):
    return explain(project, CompiledFlags.of(project), key, context, seen_in(context))


def follows(condition):
    """Recompute a condition's reason from what is said of its parts."""
    failing = [each for each in condition.filters if each.note and each.cohort is not None]
    judged = [each.matched for each in condition.filters if each not in failing]
    if condition.is_absent:
        assert condition.rollout is None
        is_device = condition.group_type is None
        return Reason.OUT_OF_ROLLOUT_BOUND if is_device else Reason.NO_GROUP_TYPE
    if not all(judged):
        return Reason.NO_CONDITION_MATCH
    if failing:
        return Reason.DEPENDENCY_NOT_FOUND
    return Reason.CONDITION_MATCH if condition.rollout.is_inside else Reason.OUT_OF_ROLLOUT_BOUND


def decided(explanation):
    """Recompute reason, condition and variant from what is said of everything."""
    enrollment, holdout = explanation.enrollment, explanation.holdout
    if enrollment is not None and enrollment.is_enrolled is not None:
        return Reason.SUPER_CONDITION_VALUE, 0, None
    if holdout is not None and holdout.is_held_out:
        return Reason.HOLDOUT_CONDITION_VALUE, None, f"holdout-{holdout.id}"
    misses = []
    for condition in explanation.conditions:
        assert condition.is_reached
        if condition.reason in (Reason.CONDITION_MATCH, Reason.DEPENDENCY_NOT_FOUND):
            draw = condition.variants if condition.matched else None
            return condition.reason, condition.index, draw and draw.variant
        misses.append((RANKS.index(condition.reason), condition.index, condition.reason))
        is_left_out = condition.reason is Reason.OUT_OF_ROLLOUT_BOUND and not condition.is_absent
        if is_left_out and explanation.early_exit and len(explanation.conditions) > 1:
            return condition.reason, condition.index, None
    if not misses:
        return Reason.NO_CONDITION_MATCH, None, None
    _, index, reason = max(misses)
    return reason, index, None


def joined(entry):
    """Recompute whom the filters of a cohort match."""
    if isinstance(entry, FilterExplanation):
        return entry.matched
    assert isinstance(entry, GroupExplanation)
    join = all if entry.type == "AND" else any
    assert entry.matched is join(map(joined, entry.values))
    return entry.matched


def agrees(rollout):
    """Tell whether a percentage is on the side of the rollout that it is said to be on."""
    percentage, wanted = rollout.percentage, rollout.rollout_percentage
    if math.isclose(percentage, wanted, abs_tol=0.001) or not rollout.identifier:
        return True
    return rollout.is_inside is (percentage < wanted)


class TestLaws:
    @given(definitions=PROJECTS, context=ASKS)
    def test_the_explanation_is_the_answer(self, definitions, context):
        """
        Whatever is defined and whoever asks, an explanation ends with the evaluator's answer, and
        what it says of conditions, filters and rollouts leads there.
        """
        project = project_of(definitions)
        flags = CompiledFlags.of(project)

        for answer in flags.answers(context):
            explanation = explain(project, flags, answer.key, context, seen_in(context))

            assert (answer.value, answer.enabled, answer.variant, answer.payload) == (
                explanation.value,
                explanation.enabled,
                explanation.variant,
                explanation.payload,
            )
            assert (answer.reason, answer.condition_index, answer.description, answer.failed) == (
                explanation.reason,
                explanation.condition_index,
                explanation.description,
                explanation.failed,
            )
            if answer.reason is Reason.MISSING_DEPENDENCY:
                continue
            assert (answer.reason, answer.condition_index, answer.variant) == decided(explanation)
            for condition in explanation.conditions:
                assert condition.reason is follows(condition)
                assert condition.rollout is None or agrees(condition.rollout)

    @given(definitions=GROUP_PROJECTS, context=ASKS)
    def test_cohorts_follow_from_their_filters(self, definitions, context):
        """
        A cohort has whom its filters say, joined as it joins them.
        """

        project = project_of(definitions)
        for key in project.by_key:
            explanation = explained(project, context, key)
            named = {each.id: each for each in explanation.cohorts}
            for cohort in explanation.cohorts:
                is_there = cohort.group_type is None or cohort.group_type in context.groups
                if cohort.filters is not None and is_there:
                    assert cohort.matched is joined(cohort.filters)
            filters = [each for condition in explanation.conditions for each in condition.filters]
            for each in (each for each in filters if each.cohort in named):
                is_in = named[each.cohort].matched
                assert each.matched is (is_in if each.operator == "in" else not is_in)


def on(**more):
    return {"properties": [{"key": "plan", "type": "group", "value": "pro"}], **more}


def of(row, context, cohorts=(), others=()):
    rows = {each["key"]: each for each in (row, *others)}
    definitions = Definitions(
        flags=rows, cohorts={each["id"]: each for each in cohorts}, group_types=GROUP_TYPES
    )
    return explained(compile_project(parse_project(definitions)), context, row["key"])


ACME = EvaluationContext(
    distinct_id="anna",
    groups={"organization": "acme"},
    group_properties={"organization": {"plan": "pro"}},
)


class TestExplanation:
    def test_a_condition(self):
        """
        A condition says what each filter saw, who was hashed to which percentage, and the variant.
        """
        variants = [{"key": "a", "rollout_percentage": 40}, {"key": "b", "rollout_percentage": 60}]
        row = {
            "key": "f",
            "bucketing": "murmur3",
            "filters": {
                "aggregation_group_type_index": 0,
                "groups": [on(rollout_percentage=50)],
                "multivariate": {"variants": variants},
            },
        }

        (condition,) = of(row, ACME).conditions

        (test,) = condition.filters
        assert ("organization", True, "pro", "request") == (
            test.group_type,
            test.matched,
            test.seen,
            test.origin.source,
        )
        rollout, draw = condition.rollout, condition.variants
        assert ("group_key", "acme", 50) == (
            rollout.identified_by,
            rollout.identifier,
            rollout.rollout_percentage,
        )
        assert rollout.is_inside is (rollout.percentage < 50)
        assert [("a", 0, 40), ("b", 40, 100)] == [
            (each.key, each.start, each.end) for each in draw.ranges
        ]
        assert draw.variant == ("a" if draw.percentage < 40 else "b")

    def test_conditions_behind(self):
        """
        Conditions behind the one that decided are explained as not reached.
        """
        filters = {"aggregation_group_type_index": 0, "groups": [{}, on()]}

        explanation = of({"key": "f", "filters": filters}, ACME)

        assert [True, False] == [each.is_reached for each in explanation.conditions]
        assert [True, True] == [each.matched for each in explanation.conditions]

    def test_a_missing_group(self):
        """
        Where the group is not known, filters say so, and nobody is hashed.
        """
        filters = {"aggregation_group_type_index": 0, "groups": [on()]}

        (condition,) = of(
            {"key": "f", "filters": filters}, EvaluationContext(distinct_id="u")
        ).conditions

        assert (True, Reason.NO_GROUP_TYPE, None) == (
            condition.is_absent,
            condition.reason,
            condition.rollout,
        )
        assert "no group of type organization is known" == condition.filters[0].note
        assert "missing" == condition.filters[0].origin.source

    def test_what_it_depends_on(self):
        """
        A cohort is opened up, and another flag is named with its answer.
        """
        plan = {"key": "plan", "type": "group", "value": "free"}
        cohort = {
            "id": 7,
            "name": "Free",
            "group_type_index": 0,
            "filters": {"properties": {"type": "OR", "values": [{**plan, "negation": True}]}},
        }
        other = {"key": "other", "id": 3, "filters": {"groups": [{}]}}
        tests = [
            {"key": "id", "type": "cohort", "value": 7},
            {"key": "3", "type": "flag", "operator": "flag_evaluates_to", "value": True},
            {"key": "id", "type": "cohort", "value": 8},
        ]
        filters = {"aggregation_group_type_index": 0, "groups": [{"properties": tests}]}

        explanation = of({"key": "f", "filters": filters}, ACME, [cohort], [other])

        free, dependency, absent = explanation.conditions[0].filters
        assert (True, 7) == (free.matched, free.cohort)
        assert ("other", True, Reason.CONDITION_MATCH) == (
            dependency.flag.key,
            dependency.flag.value,
            dependency.flag.reason,
        )
        assert (False, "the cohort does not exist, or is defined by itself") == (
            absent.matched,
            absent.note,
        )
        (opened,) = explanation.cohorts
        (entry,) = opened.filters.values
        assert (7, "Free", True) == (opened.id, opened.name, opened.matched)
        assert (True, True, "pro") == (entry.matched, entry.is_negated, entry.seen)

    def test_what_cannot_be_told(self):
        """
        What a person did is not judged, and a cohort says so.
        """
        done = {"key": "$pageview", "type": "behavioral", "value": "performed_event"}
        cohort = {"id": 7, "filters": {"properties": {"type": "OR", "values": [done]}}}
        tests = [{"key": "id", "type": "cohort", "value": 7}]
        row = {"key": "f", "filters": {"groups": [{"properties": tests}]}}

        explanation = of(row, EvaluationContext(distinct_id="u"), [cohort])

        (judged,) = explanation.cohorts[0].filters.values
        assert (False, "what a person did cannot be judged here") == (judged.matched, judged.note)

    @pytest.mark.parametrize("bucketing", ["murmur3", "sha1"])
    @pytest.mark.parametrize("chosen", [None, "true", False])
    def test_what_goes_before(self, bucketing, chosen):
        """
        A holdout and the person's own choice are explained also where they do not decide.
        """
        filters = {
            "groups": [{}],
            "feature_enrollment": True,
            "holdout": {"id": 4, "exclusion_percentage": 30},
        }
        properties = {} if chosen is None else {"$feature_enrollment/f": chosen}
        context = EvaluationContext(distinct_id="anna", person_properties=properties)

        explanation = of({"key": "f", "bucketing": bucketing, "filters": filters}, context)

        enrollment, holdout = explanation.enrollment, explanation.holdout
        assert enrollment.is_enrolled is (None if chosen is None else chosen == "true")
        assert ("anna", holdout.percentage < 30) == (holdout.identifier, holdout.is_held_out)
        is_reached = chosen is None and not holdout.is_held_out
        assert explanation.conditions[0].is_reached is is_reached

    def test_without_conditions(self):
        """
        A flag that is off, or names a flag that is not there, says no more than that.
        """
        gone = {"key": "9", "type": "flag", "operator": "flag_evaluates_to", "value": True}
        filters = {"groups": [{"properties": [gone]}]}

        off = of({"key": "f", "active": False, "filters": filters}, ACME)
        missing = of({"key": "f", "filters": filters}, ACME)

        assert (Reason.FLAG_DISABLED, []) == (off.reason, off.conditions)
        assert (Reason.MISSING_DEPENDENCY, []) == (missing.reason, missing.conditions)
