"""The document by which SDKs evaluate flags themselves."""

import json

import pytest

from flagstream.flags import (
    Definitions,
    Sdk,
    compile_project,
    local_definitions,
    parse_project,
)

PERSON = {"key": "plan", "type": "person", "operator": "exact"}
ORGANIZATION = {"organization": 0, "project": 1}


def document(row, sdk=Sdk.OTHER, *, remembers_groups=False, **others):
    """Make the document of a flag among others."""
    rows = {"f": {"key": "f", **row}, **others}
    project = compile_project(parse_project(Definitions(flags=rows, group_types=ORGANIZATION)))
    local = local_definitions(project, remembers_groups=remembers_groups)
    return json.loads(local.documents[sdk])


def condition(**test):
    return {"properties": [{"key": "plan", "type": "group", "value": "gold", **test}]}


class TestDocument:
    def test_a_flag_as_sdks_read_it(self):
        """
        All that an SDK looks at is there, payloads as JSON texts, unknown members left out.
        """
        row = {
            "id": 7,
            "name": "Beta",
            "version": 3,
            "bucketing": "sha1",
            "evaluation_contexts": ["app"],
            "filters": {
                "aggregation_group_type_index": 0,
                "groups": [condition(operator="min", odd=1)],
                "payloads": {"true": {"n": 1}},
                "odd": 1,
            },
            "odd": 1,
        }

        assert {
            "flags": [
                {
                    "id": 7,
                    "team_id": 1,
                    "key": "f",
                    "name": "Beta",
                    "filters": {
                        "aggregation_group_type_index": 0,
                        "groups": [condition(operator="gte")],
                        "payloads": {"true": '{"n":1}'},
                    },
                    "active": True,
                    "deleted": False,
                    "version": 3,
                    "ensure_experience_continuity": False,
                    "bucketing": "sha1",
                    "bucketing_identifier": None,
                    "evaluation_runtime": "all",
                    "evaluation_contexts": ["app"],
                    "has_encrypted_payloads": False,
                    "has_experiment": False,
                }
            ],
            "group_type_mapping": {"0": "organization", "1": "project"},
            "cohorts": {},
            "other_cohorts": {},
            "property_matching_version": 1,
            "timezone": "UTC",
        } == document(row, Sdk.PYTHON)

    @pytest.mark.parametrize(
        ("row", "count"),
        [
            ({"active": False}, 1),
            ({"deleted": True}, 0),
            ({"is_remote_configuration": True}, 0),
            ({"filters": {"holdout": {"id": "1"}}}, 0),
        ],
    )
    def test_which_flags_are_in_it(self, row, count):
        """
        Inactive flags are in it; deleted ones, mere configuration and what does not parse are not.
        """
        assert count == len(document(row)["flags"])

    @pytest.mark.parametrize(
        "row",
        [
            {"ensure_experience_continuity": True},
            {"bucketing": "murmur3", "filters": {"groups": [{"rollout_percentage": 50}]}},
            {"filters": {"groups": [{"variant": "a"}, {"variant": "b"}]}},
            {"filters": {"groups": [{"aggregation_group_type_index": 0}]}},
            {"filters": {"groups": [condition(group_type_index=1)]}},
            {
                "filters": {
                    "aggregation_group_type_index": 0,
                    "groups": [condition(type="person")],
                }
            },
            {"filters": {"aggregation_group_type_index": 0, "groups": [condition(value=None)]}},
            {
                "filters": {
                    "aggregation_group_type_index": 0,
                    "groups": [condition(operator="regex", value="^\\d+$")],
                }
            },
        ],
    )
    def test_what_an_sdk_would_judge_differently_is_left_to_the_server(self, row):
        """
        A flag that an SDK could answer otherwise is marked so that it asks the server.
        """
        for sdk in Sdk:
            (flag,) = document(row, sdk)["flags"]

            assert flag["ensure_experience_continuity"]

    def test_what_javascript_spells_otherwise_is_left_to_the_server(self):
        """
        Lists within lists and numbers like 0.000001 are for posthog-python alone.
        """
        for value in ([["gold"]], "0.000001", ["gold", 0.000002]):
            row = {"filters": {"groups": [{"properties": [{**PERSON, "value": value}]}]}}

            asking = [document(row, sdk)["flags"][0]["ensure_experience_continuity"] for sdk in Sdk]

            assert [False, True, True] == asking

    @pytest.mark.parametrize(("operator", "asks"), [("exact", False), ("is_date_after", True)])
    def test_cohorts(self, operator, asks):
        """
        A flag may name a cohort as often as it likes: what counts is the cohort's own rules.
        """
        rules = {"type": "AND", "values": [{**PERSON, "operator": operator, "value": "2026-01-01"}]}
        named = {"key": "id", "type": "cohort", "value": 7}
        definitions = Definitions(
            flags={"f": {"key": "f", "filters": {"groups": [{"properties": [named, named]}]}}},
            cohorts={7: {"id": 7, "filters": {"properties": rules}}},
        )
        project = compile_project(parse_project(definitions))
        local = local_definitions(project, remembers_groups=True)

        (flag,) = json.loads(local.documents[Sdk.PYTHON])["flags"]

        assert asks is flag["ensure_experience_continuity"]

    @pytest.mark.parametrize(
        ("filters", "asks"),
        [
            ({"groups": [{"rollout_percentage": 50}]}, False),
            ({"groups": [{}], "aggregation_group_type_index": 0}, True),
            ({"groups": [{"properties": [{**PERSON, "value": "gold"}]}]}, True),
            ({"groups": [{}], "holdout": {"id": 7, "exclusion_percentage": 10}}, True),
        ],
    )
    def test_old_versions(self, filters, asks):
        """
        Other SDKs than those known, and their old versions, decide by the hash alone.
        """
        (flag,) = document({"filters": filters, "bucketing": "sha1"}, remembers_groups=True)[
            "flags"
        ]

        assert asks is flag["ensure_experience_continuity"]

    def test_a_group_that_is_not_named(self):
        """
        Where groups are remembered, the rules end for whoever names one, and ask for the rest.
        """
        row = {"filters": {"aggregation_group_type_index": 0, "groups": [condition()]}}

        (flag,) = document(row, Sdk.PYTHON, remembers_groups=True)["flags"]

        *_, ends, asks = flag["filters"]["groups"]
        assert (0, 0) == (ends["rollout_percentage"], ends["aggregation_group_type_index"])
        assert ["person"] == [test["type"] for test in asks["properties"]]
        assert flag["filters"]["early_exit"]
        assert row["filters"] == flag["original_filters"]
        assert not flag["ensure_experience_continuity"]
