"""The cases that any implementation of the engine has to pass, kept as JSON."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from flagstream.errors import InvalidDefinitionError
from flagstream.flags import (
    CompiledFlags,
    Definitions,
    Evaluation,
    EvaluationContext,
    compile_project,
    group_properties,
    parse_cohort,
    parse_flag,
    parse_project,
    person_properties,
)

CASES = Path(__file__).parent / "cases"
GROUP_TYPES = {"organization": 0, "project": 1}
NOW = "2024-03-31T12:00:00Z"
ANSWER = ("value", "reason", "condition_index", "description", "payload", "failed")


def cases(*names: str) -> list[dict[str, Any]]:
    files = [json.loads((CASES / f"{name}.json").read_text()) for name in names]
    return [case for file in files for case in file["cases"]]


def brief(case: dict[str, Any]) -> str:
    return case.get("name") or json.dumps(case)[:200]


def compiled(case: Mapping[str, Any]) -> CompiledFlags:
    """Compile the project of a case, as whoever is its audience sees it."""
    rows = case["flags"] if "flags" in case else [case["flag"]]
    definitions = Definitions(
        flags={row["key"]: row for row in rows},
        cohorts={row["id"]: row for row in case.get("cohorts", ())},
        group_types=case.get("group_types", GROUP_TYPES),
        timezone=case.get("timezone", "UTC"),
        property_matching_version=case.get("property_matching_version", 1),
    )
    flags = CompiledFlags.of(compile_project(parse_project(definitions)))
    audience = case.get("audience", {})
    return (
        flags.visible(audience.get("runtime"), audience.get("contexts", ())) if audience else flags
    )


def milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def in_context(flags: CompiledFlags, context: Mapping[str, Any]) -> EvaluationContext:
    """Make the context that a server makes of a request and of what it knows."""
    context = {"distinct_id": "u", **context}
    created_at, now = context.pop("created_at", None), context.pop("now", NOW)
    given = context.pop("group_properties", {})
    return EvaluationContext(
        **{
            **context,
            "now_ms": milliseconds(now),
            "person_properties": person_properties(
                {},
                context.get("person_properties", {}),
                context["distinct_id"],
                flags.person_names,
                None if created_at is None else milliseconds(created_at),
            ),
            "group_properties": {
                name: group_properties({}, given.get(name, {}), key, flags.group_names[name])
                for name, key in context.get("groups", {}).items()
                if name in flags.group_names
            },
        }
    )


def answers(case: Mapping[str, Any]) -> Mapping[str, Evaluation]:
    flags = compiled(case)
    return {each.key: each for each in flags.answers(in_context(flags, case["context"]))}


def evaluate(row: dict[str, Any], **context: Any) -> Evaluation:
    return answers({"flag": row, "context": context})[row["key"]]


def flag(**filters: Any) -> dict[str, Any]:
    return {"key": "f", "filters": filters}


@pytest.mark.parametrize(
    "case", cases("operators", "matching_versions", "dates", "semver"), ids=json.dumps
)
def test_operator(case):
    """
    Each operator judges a property as PostHog's server does.
    """
    test = {name: case[name] for name in ("operator", "value") if name in case}
    row = flag(groups=[{"properties": [{"key": "p", "type": "person", **test}]}])
    properties = {"p": case["property"]} if "property" in case else {}
    context = {"person_properties": properties, "now": case.get("now", NOW)}

    answer = answers({**case, "flag": row, "context": context})["f"]

    assert (case["matches"], False) == (answer.enabled, answer.failed)


@pytest.mark.parametrize("case", cases("bucketing"), ids=json.dumps)
class TestBucketing:
    def test_rollout(self, case):
        """
        A rollout includes an identifier from one percentage on, and not 0.001 % earlier.
        """

        def is_inside(percentage: float) -> bool:
            groups = [{"rollout_percentage": percentage}]
            return evaluate(self.row(case, groups=groups), distinct_id=case["identifier"]).enabled

        inside_from = case["inside_from"]

        assert is_inside(inside_from)
        assert inside_from == 0 or not is_inside(round(inside_from - 0.001, 3))

    def test_variant(self, case):
        """
        The second draw picks the variant.
        """
        shares = {"a": 20, "b": 30}
        variants = [{"key": key, "rollout_percentage": share} for key, share in shares.items()]
        row = self.row(case, groups=[{}], multivariate={"variants": variants})

        assert case["variant"] == evaluate(row, distinct_id=case["identifier"]).variant

    @staticmethod
    def row(case: dict[str, Any], **filters: Any) -> dict[str, Any]:
        return {**flag(**filters), "key": case["flag_key"], "bucketing": case["bucketing"]}


@pytest.mark.parametrize("flag_key", ["beta", "new-ui"])
@pytest.mark.parametrize("case", cases("holdouts"), ids=json.dumps)
def test_holdout(case, flag_key):
    """
    A holdout takes an identifier from one percentage on, and not 0.001 % earlier, whatever flag.
    """

    def is_held_out(percentage: float) -> bool:
        holdout = {"id": 12, "exclusion_percentage": percentage}
        row = {**flag(holdout=holdout), "key": flag_key, "bucketing": case["bucketing"]}
        return evaluate(row, distinct_id=case["identifier"]).value == "holdout-12"

    held_out_from = case["held_out_from"]

    assert is_held_out(held_out_from)
    assert not is_held_out(round(held_out_from - 0.001, 3))


@pytest.mark.parametrize(
    "case", cases("flags", "cohorts", "dependencies", "audiences"), ids=lambda case: case["name"]
)
def test_flag(case):
    """
    A flag gives the expected value, for the expected reason, of the expected condition.
    """
    wanted = case["expected"] if "flags" in case else {case["flag"]["key"]: case["expected"]}

    given = answers(case)

    for key, expected in wanted.items():
        if expected is None:
            assert key not in given
        else:
            answer = {name: getattr(given[key], name) for name in ANSWER}
            assert {"failed": False, **expected} == {
                name: answer[name] for name in ANSWER if name in expected or name == "failed"
            }


@pytest.mark.parametrize("case", cases("accepted"), ids=brief)
def test_accepted(case):
    """
    What any PostHog project may hold is read.
    """
    assert case["row"]["key"] == parse_flag(case["row"]).key


@pytest.mark.parametrize("case", cases("refused"), ids=brief)
def test_refused(case):
    """
    What is wrong with a row is refused with the JSON path of every problem.
    """
    with pytest.raises(InvalidDefinitionError) as refused:
        parse_flag(case["row"])

    assert sorted(case["paths"]) == sorted(each.path for each in refused.value.problems)
    assert refused.value.attr in case["paths"]


@pytest.mark.parametrize("case", cases("refused_cohorts"), ids=brief)
def test_refused_cohort(case):
    """
    What is wrong with a cohort is refused with the JSON path of every problem.
    """
    with pytest.raises(InvalidDefinitionError) as refused:
        parse_cohort(case["row"])

    assert sorted(case["paths"]) == sorted(each.path for each in refused.value.problems)
