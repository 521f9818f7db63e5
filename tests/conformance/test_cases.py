"""The cases that any implementation of the engine has to pass, kept as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from flagstream.errors import InvalidDefinitionError
from flagstream.flags import Evaluation, EvaluationContext, compile_flags, parse_flag

CASES = Path(__file__).parent / "cases"


def cases(name: str) -> list[dict[str, Any]]:
    return json.loads((CASES / f"{name}.json").read_text())["cases"]


def evaluate(row: dict[str, Any], **context: Any) -> Evaluation | None:
    flags = compile_flags({row["key"]: row}, {"organization": 0, "project": 1})
    answers = flags.evaluate(EvaluationContext(**{"distinct_id": "u", **context}))
    return answers[0] if answers else None


def flag(**filters: Any) -> dict[str, Any]:
    return {"key": "f", "filters": filters}


@pytest.mark.parametrize("case", cases("operators"), ids=json.dumps)
def test_operator(case):
    """
    Each operator judges a property as PostHog's server does.
    """
    test = {name: case[name] for name in ("operator", "value") if name in case}
    row = flag(groups=[{"properties": [{"key": "p", "type": "person", **test}]}])
    properties = {"p": case["property"]} if "property" in case else {}

    answer = evaluate(row, person_properties=properties)

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


@pytest.mark.parametrize("case", cases("flags"), ids=lambda case: case["name"])
def test_flag(case):
    """
    A flag gives the expected value, for the expected reason, of the expected condition.
    """
    answer = evaluate(case["flag"], **case["context"])

    expected = case["expected"]
    if expected is None:
        assert answer is None
    else:
        assert {"failed": False, **expected} == {
            "value": answer.value,
            "reason": answer.reason,
            "condition_index": answer.condition_index,
            "description": answer.description,
            "payload": answer.payload,
            "failed": answer.failed,
        }


@pytest.mark.parametrize("case", cases("refused"), ids=lambda case: json.dumps(case)[:200])
def test_refused(case):
    """
    What is wrong with a row is refused with the JSON path of every problem.
    """
    with pytest.raises(InvalidDefinitionError) as refused:
        parse_flag(case["row"])

    assert sorted(case["paths"]) == sorted(each.path for each in refused.value.problems)
    assert refused.value.attr in case["paths"]
