"""Explanations in a terminal."""

import json

import pytest

from tests.fakes.views import PROJECT

from .running import run

PLAN = {"key": "plan", "type": "group", "value": ["pro"], "operator": "exact"}
COHORT = {
    "id": 7,
    "name": "Free",
    "group_type_index": 0,
    "filters": {"properties": {"type": "OR", "values": [{**PLAN, "negation": True}]}},
}
FILTERS = {
    "aggregation_group_type_index": 0,
    "groups": [
        {"properties": [PLAN], "rollout_percentage": 0, "description": "Paying"},
        {"properties": [{"key": "id", "type": "cohort", "value": 7, "operator": "not_in"}]},
        {},
    ],
    "multivariate": {
        "variants": [
            {"key": "a", "rollout_percentage": 100},
            {"key": "b", "rollout_percentage": 0},
        ]
    },
    "payloads": {"a": {"color": "red"}},
    "feature_enrollment": True,
    "holdout": {"id": 3, "exclusion_percentage": 0},
}
TREE = """\
new = "a": Matched condition set 2 (condition_match)
  payload {"color":"red"}
  flag 1, version 3
  company: acme, named in the request
  early access: the person has not chosen
  holdout 3 of 0 %: acme is at 62.5 %, not held out
condition 1, of company: out of rollout bound -- Paying
  yes company.plan exact ["pro"]: is "pro", stored, version 1
  rollout 0 %: group key acme is at 4.543 %, outside
  variant a: drawn 83.216 % of a 0-100 %, b 100-100 %
condition 2, of company: matched
  yes not_in cohort 7
  rollout 100 %: group key acme is at 4.543 %, inside
  variant a: drawn 83.216 % of a 0-100 %, b 100-100 %
condition 3, of company: matched, not asked any more
  rollout 100 %: group key acme is at 4.543 %, inside
  variant a: drawn 83.216 % of a 0-100 %, b 100-100 %
cohort 7 Free, of company: is not in it
  no  any of
    no  not company.plan exact ["pro"]: is "pro", stored, version 1
"""


@pytest.fixture
def flag(world):
    """A flag with everything that an explanation may have."""
    world.view.set_group("company", "acme", plan="pro")
    world.catalog.write(PROJECT.id, "cohort", "7", COHORT)
    row = {"key": "new", "id": 1, "version": 3, "bucketing": "murmur3", "filters": FILTERS}
    world.catalog.set_flag(row)


class TestExplain:
    async def test_as_a_tree(self, command, flag):
        """
        Why a flag answers as it does can be read from the terminal.
        """
        ran = await command("explain", "new", "--distinct-id", "anna", "--group", "company=acme")

        assert (0, TREE) == (ran.exit_code, ran.stdout)

    async def test_as_json(self, command, flag):
        """
        A program gets all that the server says; properties that are given go before the stored.
        """
        given = ["--group-property", "company.plan=5", "--person-property", "city=Rome"]

        ran = await command(
            "explain", "new", "--distinct-id", "anna", "--group", "company=acme", *given, "--json"
        )

        test = json.loads(ran.stdout)["conditions"][0]["filters"][0]
        assert (False, 5, "request") == (test["matched"], test["seen"], test["origin"]["source"])

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            (["--group", "acme"], "--group: expected NAME=VALUE, got 'acme'"),
            (["--group-property", "plan=pro"], "--group-property: expected TYPE.NAME=VALUE"),
            (["--person-property", "=5"], "--person-property: expected NAME=VALUE"),
        ],
    )
    def test_what_cannot_be_read(self, options, named):
        """
        An option that says nothing is named.
        """
        ran = run("explain", "new", "--distinct-id", "anna", *options)

        assert 1 == ran.exit_code
        assert named in ran.stderr

    async def test_a_flag_that_is_not_there(self, command, flag):
        """
        What the server refuses is one line.
        """
        ran = await command("explain", "none", "--distinct-id", "anna")

        assert (1, "") == (ran.exit_code, ran.stdout)
        assert "There is no flag 'none'." in ran.stderr
