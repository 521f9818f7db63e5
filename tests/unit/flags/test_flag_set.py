"""Flag sets: what has to be read for them, and their parts."""

from datetime import UTC, datetime

import orjson
import pytest
from msgspec.structs import replace

from flagstream.flags import (
    CompiledFlags,
    Definitions,
    EvaluationContext,
    FlagSet,
    Reason,
    compile_flags,
    compile_project,
    parse_project,
)

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

CONTEXT = EvaluationContext(
    distinct_id="u",
    groups={"organization": "org:5"},
    person_properties={"plan": "gold"},
    group_properties={"organization": {"plan": "gold"}},
)


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
        A type's part, and the person's, hold the flags that look at nothing else; the rest is one.
        """
        flags = compiled(*ROWS)

        assert ("organization", "gold") == flags.group_flags("organization").keys
        assert ("project",) == flags.group_flags("project").keys
        assert () == flags.group_flags("team").keys
        assert ("everybody", "nobody", "person") == flags.person_flags.keys
        assert ("unknown", "both", "mixed") == flags.other_flags.keys

    def test_a_set_of_one_part_is_that_part(self):
        """
        Nothing is compiled or kept twice.
        """
        flags = compiled("organization", "gold")

        assert flags is flags.group_flags("organization")
        assert () == flags.person_flags.keys
        assert () == flags.other_flags.keys
        assert () == flags.person_flags.group_flags("organization").keys

    @pytest.mark.parametrize(
        ("base", "dependent", "part"),
        [
            ("gold", "organization", "organization"),
            ("person", "person", "person"),
            ("person", "everybody", "person"),
            ("gold", "everybody", "other"),
            ("gold", "person", "other"),
            ("person", "gold", "other"),
            ("gold", "project", "other"),
            ("everybody", "gold", "other"),
        ],
    )
    def test_who_follows_from_others(self, base, dependent, part):
        """
        A flag looks at all that those look at that it follows from, and its part answers alone.
        """
        test = {"key": base, "type": "flag", "operator": "flag_evaluates_to", "value": True}
        filters = ROWS[dependent]
        (condition,) = filters["groups"]
        follows = {**condition, "properties": [*condition.get("properties", ()), test]}
        rows = {
            base: {"key": base, "filters": ROWS[base]},
            "f": {"key": "f", "filters": {**filters, "groups": [follows]}},
        }
        flags = compile_flags(rows, GROUP_TYPES)
        context = replace(CONTEXT, groups={**CONTEXT.groups, "project": "p"})

        parts = {"person": flags.person_flags, "other": flags.other_flags}
        own = parts.get(part) or flags.group_flags(part)

        assert "f" in own.keys
        assert [True] == [each.enabled for each in own.answers(context, ["f"])]
        assert {each.key: each for each in own.answers(context)}["f"].enabled

    def test_who_follows_from_the_time(self):
        """
        What the time can change is nobody's alone, nor is what follows from it.
        """
        since = {"key": "since", "type": "group", "operator": "is_date_after", "value": "-7d"}
        test = {"key": "new", "type": "flag", "operator": "flag_evaluates_to", "value": True}
        rows = {
            key: {
                "key": key,
                "filters": {"aggregation_group_type_index": 0, "groups": [{"properties": [each]}]},
            }
            for key, each in (("new", since), ("behind", test))
        }

        flags = compile_flags(rows, GROUP_TYPES)

        assert ("new", "behind") == flags.other_flags.keys
        assert {"organization": {"since"}} == flags.group_names


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

    def test_equal_are_those_that_clients_cannot_tell_apart(self):
        """
        Answers of the same definition are equal and hash alike, whichever was encoded before.
        """
        context = EvaluationContext(distinct_id="u")
        (one,), (other,), (newer,) = (
            compile_flags({"f": {"key": "f", "version": version}}, {}).answers(context)
            for version in (1, 1, 2)
        )
        assert one.v2

        assert one == other
        assert {one} == {other}
        assert one != newer
        assert one != "f"

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


class TestAudiences:
    def test_many_audiences(self):
        """
        However many audiences ask, each sees its flags.
        """
        rows = {
            f"f{n}": {"key": f"f{n}", "filters": {"groups": [{}]}, "evaluation_contexts": [f"c{n}"]}
            for n in range(300)
        }
        flags = compile_flags(rows, {})

        for _ in range(2):
            for n in range(300):
                assert (f"f{n}",) == flags.visible(None, [f"c{n}"]).keys

    def test_everybody_sees_all(self):
        """
        Where nothing is said about audiences there is one set for all.
        """
        flags = compiled("person", "gold")

        assert flags is flags.visible("server", ["app"]) is flags.visible(None, [])


MEMBERS = {"id": 1, "is_static": True, "members": ["v"]}
STICKY = {
    "key": "sticky",
    "ensure_experience_continuity": True,
    "filters": {"groups": [{"rollout_percentage": 50}]},
}


def behind(key, *tests):
    return {"key": key, "filters": {"groups": [{"properties": list(tests)}]}}


class TestUnread:
    @pytest.mark.parametrize(
        ("key", "unread", "fails"),
        [
            ("person", {None: ()}, True),
            ("person", {None: {"plan"}}, False),
            ("person", {None: {"country"}}, True),
            ("person", {"organization": None}, False),
            ("everybody", {None: (), "organization": None}, False),
            ("gold", {None: ()}, False),
            ("gold", {"organization": ()}, True),
            ("gold", {"organization": {"plan", "$group_key"}}, False),
            ("gold", {"organization": None}, True),
            ("gold", {"project": None}, False),
            ("organization", {"organization": ()}, False),
            ("organization", {"organization": None}, True),
            ("mixed", {None: ()}, True),
            ("mixed", {"organization": None}, True),
            ("unknown", {None: (), "organization": None}, False),
        ],
    )
    def test_which_flags_fail(self, key, unread, fails):
        """
        A flag fails where something it looks at could not be read and is not given.
        """
        flags = compiled(*ROWS)
        answers = flags.answers(CONTEXT)

        failing = {each.key: each for each in flags.failing(answers, unread)}

        assert list(ROWS) == list(failing)
        assert fails is failing[key].failed
        assert (Reason.DATABASE_ERROR if fails else flags.answers(CONTEXT, [key])[0].reason) == (
            failing[key].reason
        )

    @pytest.mark.parametrize(("known", "fails"), [((), True), (("plan",), False)])
    @pytest.mark.parametrize(("base", "whose"), [("person", None), ("gold", "organization")])
    def test_who_follows_from_what_fails(self, base, whose, known, fails):
        """
        A flag fails as well where one could that it follows from.
        """
        test = {"key": base, "type": "flag", "operator": "flag_evaluates_to", "value": True}
        rows = {base: {"key": base, "filters": ROWS[base]}, "f": behind("f", test)}
        flags = compile_flags(rows, GROUP_TYPES)

        failing = flags.failing(flags.answers(CONTEXT), {whose: known})

        assert [fails, fails] == [each.failed for each in failing]

    @pytest.mark.parametrize(
        "row",
        [
            STICKY,
            behind(
                "f",
                {
                    "key": "sticky",
                    "type": "flag",
                    "operator": "flag_evaluates_to",
                    "value": True,
                },
            ),
            behind("f", {"key": "id", "type": "cohort", "value": 1}),
            behind("f", {"key": "created_at", "type": "person_metadata", "operator": "is_set"}),
        ],
    )
    def test_what_no_request_brings_along(self, row):
        """
        A person's stored identifiers, other ids and metadata are not made up for by properties,
        neither for a flag itself nor for who follows from it.
        """
        definitions = Definitions(flags={"sticky": STICKY, row["key"]: row}, cohorts={1: MEMBERS})
        flags = CompiledFlags.of(compile_project(parse_project(definitions)))
        answers = flags.answers(CONTEXT)

        failing = flags.failing(answers, {None: {"plan", "created_at", "distinct_id"}})

        assert flags.needs_person
        assert not any(each.failed for each in answers)
        assert all(each.failed for each in failing)


class TestIdentifiers:
    def test_who_the_person_was_needs_no_store(self):
        """
        A holdout of a flag that nobody's stored identifier can change looks at the earlier id.
        """
        row = {
            "key": "f",
            "ensure_experience_continuity": True,
            "filters": {"holdout": {"id": 1, "exclusion_percentage": 50}, "groups": [{}]},
        }
        flags = compile_flags({"f": row}, {})

        given = [
            flags.answers(EvaluationContext(distinct_id=distinct_id, anon_distinct_id=anon))[
                0
            ].value
            for distinct_id, anon in (("user-1", None), ("user-2", None), ("user-2", "user-1"))
        ]

        assert not flags.needs_person
        assert ["holdout-1", True, "holdout-1"] == given

    @pytest.mark.parametrize(
        ("key", "text"), [(5, "5"), (5.0, "5"), (5.5, "5.5"), (1e300, "1e+300"), (-0.0, "0")]
    )
    def test_numbers_name_groups(self, key, text):
        """
        The library reads a number as the key that its text is.
        """
        test = {"key": "$group_key", "type": "group", "value": text}
        filters = {"aggregation_group_type_index": 0, "groups": [{"properties": [test]}]}
        flags = FlagSet.from_definitions(
            {
                "flags": [{"key": "f", "filters": filters}],
                "group_type_mapping": {"0": "organization"},
            }
        )

        assert flags.evaluate("u", groups={"organization": key})["f"].enabled

    @pytest.mark.parametrize(
        ("name", "value", "given"),
        [
            ("distinct_id", "u", {}),
            ("distinct_id", "u", {"distinct_id": "v"}),
            ("$initial_utm_source", "ads", {"utm_source": "ads"}),
        ],
    )
    def test_what_the_library_adds(self, name, value, given):
        """
        The library adds to the person's properties what the server would.
        """
        test = {"key": name, "type": "person", "value": value}
        row = {"key": "f", "filters": {"groups": [{"properties": [test]}]}}
        flags = FlagSet.from_definitions({"flags": [row]})

        assert flags.evaluate("u", person_properties=given)["f"].enabled
        assert not flags.evaluate("w", person_properties={"utm_source": "x"})["f"].enabled

    @pytest.mark.parametrize(("day", "is_on"), [(3, True), (12, False)])
    def test_when_the_library_is_asked(self, day, is_on):
        """
        The library judges dates by the time that it is given.
        """
        test = {"key": "since", "type": "person", "operator": "is_date_after", "value": "-7d"}
        row = {"key": "f", "filters": {"groups": [{"properties": [test]}]}}
        flags = FlagSet.from_definitions({"flags": [row]})

        answers = flags.evaluate(
            "u",
            person_properties={"since": "2026-01-01"},
            now=datetime(2026, 1, day, tzinfo=UTC),
        )

        assert is_on is answers["f"].enabled
