"""Answers that are kept ready never differ from answers that are made."""

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from flagstream.routes.flag_answers import Asked, FlagAnswers
from flagstream.wire.flags import parse_flags_request
from tests.fakes.views import PROJECT
from tests.fakes.world import NOW_MS, World

# Alike to Python and not to a filter, or the other way round.
VALUES = st.sampled_from(["gold", "GOLD", "1", 1, 1.0, True, "true", None])
PROPERTIES = st.one_of(st.just({}), st.fixed_dictionaries({"plan": VALUES}))
IDS = st.sampled_from(["a", "b"])
TYPES = st.sampled_from(["company", "project"])

HALF = {"rollout_percentage": 50}


def row(key, index, *conditions, **members):
    filters = {"aggregation_group_type_index": index, "groups": list(conditions)}
    return {"key": key, "filters": filters, **members}


def holding(kind, value="gold", index=None):
    test = {"key": "plan", "type": kind, "value": value, "group_type_index": index}
    return {"properties": [test]}


FLAGS = [
    row("person", None, holding("person")),
    row("company", 0, holding("group")),
    row("project", 1, holding("group", "1")),
    row("several", 0, holding("group", index=1), holding("person")),
    row("device", None, HALF, bucketing_identifier="device_id"),
    *(row(f"sticky-{n}", None, HALF, ensure_experience_continuity=True) for n in range(4)),
]
GROUPS = [{}, {"company": "a"}, {"company": "b", "project": "a"}, {"project": "a"}]
REQUESTS = st.fixed_dictionaries(
    {
        "distinct_id": IDS,
        "groups": st.sampled_from(GROUPS),
        "group_properties": st.fixed_dictionaries({"company": PROPERTIES, "project": PROPERTIES}),
        "person_properties": PROPERTIES,
    },
    optional={
        "$device_id": st.sampled_from("abcde"),
        "$anon_distinct_id": st.sampled_from("abcde"),
    },
)
STEPS = st.one_of(
    st.tuples(
        st.just("flag"),
        st.builds(row, st.just("person"), st.none(), st.builds(holding, st.just("person"), VALUES)),
    ),
    st.tuples(st.just("group"), TYPES, IDS, PROPERTIES),
    st.tuples(st.just("person"), IDS, PROPERTIES, st.dictionaries(st.just("sticky-0"), IDS)),
    st.tuples(st.just("down"), st.booleans()),
)


def change(world, step):
    match step:
        case ("flag", flag):
            world.catalog.set_flag(flag)
        case ("group", group_type, key, properties):
            world.view.set_group(group_type, key, **properties)
        case ("person", distinct_id, properties, hash_keys):
            world.view.set_person(distinct_id, hash_keys=hash_keys, **properties)
        case ("down", is_down):
            world.view.is_down = is_down


def by_key(members):
    return orjson.loads(b"{%b}" % b",".join(members))


class TestReadyAnswers:
    @settings(deadline=None)
    @given(
        flags=st.one_of(st.just(FLAGS), st.lists(st.sampled_from(FLAGS), min_size=1)),
        steps=st.lists(st.tuples(STEPS, REQUESTS, REQUESTS), min_size=3),
    )
    def test_what_is_ready_is_what_would_be_made(self, flags, steps):
        """
        Whatever was asked before, and whatever changed since, an answer is as if made anew.
        """
        world = World()
        answers = FlagAnswers(world.catalog, world.view)
        for flag in flags:
            world.catalog.set_flag(flag)
        for step, *requests in steps:
            change(world, step)
            for request in requests:
                body = {"token": PROJECT.token, **request}
                asked = Asked(PROJECT.id, parse_flags_request(body, {}), NOW_MS)

                members, has_failed = answers.v2(asked)

                expected = answers.evaluate(asked)
                assert by_key(each.v2 for each in expected) == by_key(members)
                assert any(each.failed for each in expected) == has_failed
