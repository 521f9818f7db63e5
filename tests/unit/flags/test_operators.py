"""Values at the edges, which no JSON file can hold."""

import math

import pytest

from flagstream.flags import EvaluationContext, compile_flags


def matches(operator, wanted, value):
    test = {"key": "p", "type": "person", "operator": operator, "value": wanted}
    flags = compile_flags({"f": {"key": "f", "filters": {"groups": [{"properties": [test]}]}}}, {})
    context = EvaluationContext(distinct_id="u", person_properties={"p": value})
    return flags.answers(context)[0].enabled


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


class TestEdges:
    @pytest.mark.parametrize(
        "value", [math.nan, math.inf, -math.inf, 10**400, object(), nested(100_000)]
    )
    def test_what_json_has_no_text_for_reads_as_null(self, value):
        """
        A value without a JSON text has the text of null.
        """
        assert matches("exact", "null", value)
        assert not matches("gt", 0, value)

    def test_integers_beyond_64_bits_read_as_floats(self):
        """
        An integer that JSON readers take for a float has a float's text.
        """
        assert matches("exact", "1e+20", 10**20)
        assert matches("exact", str(2**64 - 1), 2**64 - 1)
        assert matches("gt", 10**18, 10**20)

    def test_lone_surrogates(self):
        """
        Text that UTF-8 does not have is compared like any other.
        """
        assert matches("icontains", "a", "\ud800A")
        assert not matches("regex", "^a$", "\ud800a")
        assert matches("regex", "a$", "\ud800a")

    def test_endless_lists_are_judged_as_booleans(self):
        """
        However deep a list is nested, it is true if all in it is.
        """
        assert matches("exact", "true", nested(100_000))
