"""Cohorts: how deep they may go, how often they are asked, and what nobody can judge."""

import pytest

from flagstream.flags import (
    CohortDefinition,
    CompiledFlags,
    Definitions,
    EvaluationContext,
    Reason,
    compile_project,
    local_definitions,
    parse_cohort,
    parse_project,
)

GOLD = {"key": "plan", "type": "person", "value": "gold"}
BEHAVIORAL = {"key": "$pageview", "type": "behavioral", "value": "performed_event"}


def named(cohort_id, **more):
    return {"key": "id", "type": "cohort", "value": cohort_id, **more}


def cohort(cohort_id, *values, kind="AND"):
    return {"id": cohort_id, "filters": {"properties": {"type": kind, "values": list(values)}}}


def project(*cohorts):
    row = {"key": "f", "filters": {"groups": [{"properties": [named(cohorts[-1]["id"])]}]}}
    rows = {each["id"]: each for each in cohorts}
    return compile_project(parse_project(Definitions(flags={"f": row}, cohorts=rows)))


def answer(*cohorts, **properties):
    context = EvaluationContext(distinct_id="u", person_properties=properties)
    return CompiledFlags.of(project(*cohorts)).answers(context)[0]


def nested(levels, entry):
    for _ in range(levels - 1):
        entry = {"type": "OR", "values": [entry, {**GOLD, "value": "never"}]}
    return entry


def called(depth, ask):
    return ask() if depth == 0 else called(depth - 1, ask)


class TestDepth:
    @pytest.mark.parametrize(("count", "is_judged"), [(10, True), (11, False)])
    def test_cohorts_through_cohorts(self, count, is_judged):
        """
        A hundred levels of groups through all cohorts are judged, far down in a server's calls,
        and more fail.
        """
        cohorts = [
            cohort(at, nested(10, named(at - 1, negation=True) if at > 1 else GOLD), kind="OR")
            for at in range(1, count + 1)
        ]

        given = called(400, lambda: answer(*cohorts, plan="silver"))

        assert is_judged is not given.failed
        # Negated at each of them but the first: an even number of cohorts has who is not in it.
        assert given.enabled is is_judged

    def test_ways_through_cohorts(self):
        """
        Cohorts that name the next one twice are asked once each, not once for each way through.
        """
        cohorts = [
            cohort(1, GOLD),
            *(cohort(at, named(at - 1), named(at - 1), kind="OR") for at in range(2, 90)),
        ]
        made = project(*cohorts)

        assert not answer(*cohorts, plan="silver").enabled
        assert answer(*cohorts, plan="gold").enabled
        assert local_definitions(made, remembers_groups=True).documents


class TestMeaning:
    @pytest.mark.parametrize(("kind", "is_on"), [("AND", True), ("property", True), ("OR", False)])
    def test_empty_groups(self, kind, is_on):
        """
        Nothing that has to match matches everybody; none of nothing matches nobody.
        """
        assert is_on is answer(cohort(1, kind=kind)).enabled

    @pytest.mark.parametrize("leaf", [BEHAVIORAL, {**BEHAVIORAL, "negation": True}])
    def test_what_a_person_did(self, leaf):
        """
        What a person did is false whichever way it is put, and the answer says that it was not
        judged.
        """
        given = answer(cohort(1, leaf))

        assert (False, Reason.NO_CONDITION_MATCH) == (given.enabled, given.reason)
        assert "cannot be judged here" in given.description

    def test_a_cohort_can_be_written_and_read_again(self):
        """
        What a definition is dumped to is the same cohort.
        """
        definition = parse_cohort(cohort(1, {"type": "OR", "values": [GOLD, {}]}, GOLD))

        dumped = definition.model_dump(mode="json", exclude_unset=True)

        assert definition == parse_cohort(dumped) == CohortDefinition.model_validate(definition)
