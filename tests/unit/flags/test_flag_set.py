"""Flag sets: what has to be read for them, and their parts."""

import orjson
import pytest

from flagstream.flags import EvaluationContext, compile_flags

GROUP_TYPES = {"organization": 0, "project": 1}


def on(kind, **more):
    return {"properties": [{"key": "plan", "type": kind, "value": "gold", **more}]}


ROWS = {
    "everybody": {"groups": [{}]},
    "nobody": {"groups": []},
    "person": {"groups": [on("person")]},
    "organization": {"groups": [{}], "aggregation_group_type_index": 0},
    "gold": {"groups": [on("group")], "aggregation_group_type_index": 0},
    "project": {"groups": [{}], "aggregation_group_type_index": 1},
    "unknown": {"groups": [{}], "aggregation_group_type_index": 4},
    "both": {
        "groups": [on("group", group_type_index=1)],
        "aggregation_group_type_index": 0,
    },
    "mixed": {"groups": [{}], "aggregation_group_type_index": 0},
}
ROWS["mixed"]["groups"] = [{**on("person"), "aggregation_group_type_index": 0}]


def compiled(*keys):
    return compile_flags({key: {"key": key, "filters": ROWS[key]} for key in keys}, GROUP_TYPES)


class TestNeeds:
    @pytest.mark.parametrize(
        ("keys", "needs_person", "group_types"),
        [
            ([], False, set()),
            (["everybody", "nobody", "unknown"], False, set()),
            (["person"], True, set()),
            (["gold"], False, {"organization"}),
            (["organization", "project"], False, {"organization", "project"}),
            (["both"], False, {"organization", "project"}),
            (["mixed"], True, {"organization"}),
        ],
    )
    def test_what_has_to_be_read(self, keys, needs_person, group_types):
        """
        A set names whose properties and keys its answers depend on.
        """
        flags = compiled(*keys)

        assert (needs_person, group_types) == (flags.needs_person, flags.group_types)


class TestParts:
    def test_each_flag_is_in_one_part(self):
        """
        A type's part holds the flags that look at nothing else; the rest is the person's part.
        """
        flags = compiled(*ROWS)

        assert ("organization", "gold") == flags.group_flags("organization").keys
        assert ("project",) == flags.group_flags("project").keys
        assert () == flags.group_flags("team").keys
        rest = ("everybody", "nobody", "person", "unknown", "both", "mixed")
        assert rest == flags.person_flags.keys

    def test_a_set_of_one_part_is_that_part(self):
        """
        Nothing is compiled or kept twice.
        """
        flags = compiled("organization", "gold")

        assert flags is flags.group_flags("organization")
        assert () == flags.person_flags.keys
        assert () == flags.person_flags.group_flags("organization").keys


class TestAnswers:
    def test_version_2_member(self):
        """
        An answer carries its member of the version 2 document, ready to be joined.
        """
        row = {
            "id": 12,
            "key": "my-flag",
            "version": 3,
            "name": "for us only",
            "filters": {"groups": [{}], "payloads": {"true": {"a": 1}}},
        }

        (answer,) = compile_flags({"my-flag": row}, {}).answers(EvaluationContext(distinct_id="u"))

        assert {
            "my-flag": {
                "key": "my-flag",
                "enabled": True,
                "variant": None,
                "reason": {
                    "code": "condition_match",
                    "condition_index": 0,
                    "description": "Matched condition set 1",
                },
                "metadata": {
                    "id": 12,
                    "version": 3,
                    "description": None,
                    "payload": '{"a":1}',
                    "has_experiment": False,
                },
            }
        } == orjson.loads(b"{%b}" % answer.v2)

    def test_a_failed_flag_says_so(self):
        """
        A flag that cannot be read keeps its identity, and only it says that it failed.
        """
        rows = {
            "bad": {"key": "bad", "id": 5, "version": "x", "active": 1},
            "good": {"key": "good"},
        }

        bad, good = compile_flags(rows, {}).answers(EvaluationContext(distinct_id="u"))

        record = orjson.loads(b"{%b}" % bad.v2)["bad"]
        assert (True, False, 5, 0) == (
            record["failed"],
            record["enabled"],
            record["metadata"]["id"],
            record["metadata"]["version"],
        )
        assert b"failed" not in good.v2

    def test_asked_keys_come_in_the_order_of_definition(self):
        """
        Keys may be asked for in any order, twice, or without a flag.
        """
        flags = compiled("person", "gold", "project")

        answers = flags.answers(
            EvaluationContext(distinct_id="u"), ["project", "odd", "person", "project"]
        )

        assert ["person", "project"] == [each.key for each in answers]
