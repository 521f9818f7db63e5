"""Rows become definitions, or everything that is wrong with them is named."""

import json
import math

import pytest

from flagstream.errors import InvalidDefinitionError
from flagstream.flags import parse_flag


def flag(**filters):
    return {"key": "f", "filters": filters}


def problems(row):
    with pytest.raises(InvalidDefinitionError) as refused:
        parse_flag(row)
    return [str(problem) for problem in refused.value.problems]


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


class TestProblems:
    def test_all_at_once_with_what_was_expected_and_found(self):
        """
        Each problem says where, what was expected, and what was found.
        """
        test = {"key": "plan", "type": "event", "operator": "sounds_like", "value": 1}
        row = {**flag(groups=[{"properties": [test], "rollout_percentage": "50"}]), "key": "a b"}

        expected = [
            "$.key: expected String should match pattern",
            "$.filters.groups[0].properties[0].type: expected 'person', 'group',",
            "$.filters.groups[0].properties[0].operator: expected 'exact', 'is_not',",
            "$.filters.groups[0].rollout_percentage: expected a valid number, got '50'",
        ]
        assert expected == [
            problem[: len(start)] for problem, start in zip(problems(row), expected, strict=True)
        ]

    def test_an_unsupported_operator_is_named(self):
        """
        An operator that is not supported is refused by its name, never misjudged.
        """
        test = {"key": "a", "type": "person", "operator": "sounds_like", "value": "1"}

        (problem,) = problems(flag(groups=[{"properties": [test]}]))

        assert "got 'sounds_like'" in problem

    def test_a_missing_member(self):
        """
        A member that is missing is expected, not quoted.
        """
        assert ["$.key: expected a value, got None"] == problems({})

    def test_a_pattern_that_re2_refuses(self):
        """
        The reason that RE2 gives goes along.
        """
        test = {"key": "a", "type": "person", "operator": "regex", "value": "(?=x)"}

        (problem,) = problems(flag(groups=[{"properties": [test]}]))

        assert "a regular expression of RE2 (invalid perl operator: (?=)" in problem

    @pytest.mark.parametrize(
        "value", [math.nan, math.inf, {"a": [math.nan]}, "\ud800", nested(2000)]
    )
    @pytest.mark.parametrize("where", ["payload", "value"])
    def test_what_json_cannot_carry(self, where, value):
        """
        NaN, infinities, lone surrogates and endless nesting are refused wherever JSON is free.
        """
        test = {"key": "a", "type": "person", "value": value}
        row = flag(groups=[{"properties": [test]}])
        if where == "payload":
            row = flag(payloads={"true": value})

        (problem,) = problems(row)

        assert "expected JSON in valid Unicode" in problem

    @pytest.mark.parametrize("percentage", [math.nan, math.inf])
    def test_a_rollout_is_a_number(self, percentage):
        """
        NaN and infinities are no percentages.
        """
        assert problems(flag(groups=[{"rollout_percentage": percentage}]))


class TestNormalising:
    @pytest.mark.parametrize(
        ("given", "text"),
        [
            ({"a": [1, None]}, '{"a":[1,null]}'),
            ('{"a": 1}', '{"a": 1}'),
            ("plain", '"plain"'),
            ("NaN", '"NaN"'),
            ("ä", '"ä"'),
            (True, "true"),
            (None, "null"),
            (5, "5"),
        ],
    )
    def test_payloads_become_json_texts(self, given, text):
        """
        A payload is JSON text, whichever way it was given.
        """
        payload = parse_flag(flag(payloads={"true": given})).filters.payloads["true"]

        assert text == payload
        json.loads(payload)

    @pytest.mark.parametrize(
        ("given", "operator"), [("min", "gte"), ("max", "lte"), (None, "exact"), ("gt", "gt")]
    )
    def test_operators_get_their_canonical_names(self, given, operator):
        """
        Aliases are gone after parsing.
        """
        test = {"key": "a", "type": "person", "operator": given, "value": 1}

        definition = parse_flag(flag(groups=[{"properties": [test]}]))

        assert operator == definition.filters.groups[0].properties[0].operator

    def test_unknown_members_are_dropped(self):
        """
        Members of unknown names, of the row as of its filters, are no problem.
        """
        row = {**flag(groups=[{"exposure_frozen": True}], super_groups=[], holdout=None), "x": 1}

        assert parse_flag(flag(groups=[{}], holdout=None)) == parse_flag(row)

    def test_rows_that_do_not_say_hash_as_posthog_does(self):
        """
        A row without a bucketing is one of PostHog's.
        """
        assert "sha1" == parse_flag({"key": "f"}).bucketing
