"""What must hold whatever is captured, and whenever it becomes visible."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.capture import PROJECT_ID, Capturing, event, group_identify, in_groups
from tests.fakes.sink import BlindLog, FoldedLog

IDS = ["user-1", "user-2", "anon-1", "anon-2"]
TYPES = ["company", "project", "team", "site", "plan", "sixth"]
KEYS = st.sampled_from(["a", "b"])
VALUES = st.dictionaries(st.sampled_from("xyz"), st.sampled_from([1, True, "1", None]), max_size=2)
# Never of a name that is unset: whether a first value counts again depends on what a view hides.
ONCE = st.dictionaries(st.sampled_from("xy"), st.sampled_from([1, "1"]), max_size=2)
UNSET = st.lists(st.just("z"), max_size=1)
LATE = st.integers(0, 1_000)
EVENTS = st.one_of(
    st.builds(
        in_groups,
        st.sampled_from(["s1", "s2"]),
        st.dictionaries(st.sampled_from(TYPES[:2]), KEYS, max_size=2),
        distinct_id=st.sampled_from(IDS[:2]),
        late_ms=LATE,
    ),
    st.builds(
        lambda group_type, key, unset, once, values: group_identify(
            group_type, key, unset, once, **values
        ),
        st.sampled_from(TYPES),
        KEYS,
        st.lists(st.sampled_from("vwz"), max_size=1),
        ONCE,
        st.dictionaries(
            st.sampled_from("vwxyz"), st.sampled_from([1, True, "1", None]), max_size=2
        ),
    ),
    st.builds(
        lambda distinct_id, once, unset, values: event(
            "$set", distinct_id, properties={"$set": values, "$set_once": once, "$unset": unset}
        ),
        st.sampled_from(IDS),
        ONCE,
        UNSET,
        VALUES,
    ),
    st.builds(
        lambda name, distinct_id, other, once: event(
            name,
            distinct_id,
            properties={"$anon_distinct_id": other, "alias": other, "$set_once": once},
        ),
        st.sampled_from(["$identify", "$create_alias"]),
        st.sampled_from(IDS),
        st.sampled_from(IDS),
        ONCE,
    ),
)
UUIDS = [None, None, None, "00000000-0000-4000-8000-000000000001"]
REQUESTS = st.lists(
    st.builds(lambda event, uuid: {**event, "uuid": uuid}, EVENTS, st.sampled_from(UUIDS)),
    min_size=1,
    max_size=3,
)
STEPS = st.lists(st.tuples(REQUESTS, st.integers(0, 6)), max_size=12)


async def replay(log, steps):
    capturing = Capturing(log)
    for request, folds in steps:
        await capturing.send(*request)
        log.fold(folds)
    return capturing


class TestSuppression:
    @given(steps=STEPS)
    def test_ends_in_the_same_state(self, steps):
        """
        Whatever is visible when, leaving out what changes nothing ends in the very state that
        sending everything ends in.
        """
        log, everything = FoldedLog(), BlindLog()
        asyncio.run(replay(log, steps))
        asyncio.run(replay(everything, steps))
        log.fold()
        everything.fold_at_last()

        assert everything.answers(PROJECT_ID, IDS) == log.answers(PROJECT_ID, IDS)
        assert len(log.appended) <= len(everything.appended)

    @given(steps=STEPS)
    def test_what_is_known_is_not_sent(self, steps):
        """
        Once all is visible, sending the last changes again as new events appends only events.
        """

        async def scenario():
            log = FoldedLog()
            capturing = await replay(log, steps)
            log.fold()
            await capturing.send(in_groups("s9", {"company": "a"}), group_identify("plan", 1, x=1))
            log.fold()
            before = len(log.appended)
            await capturing.send(in_groups("s9", {"company": "a"}), group_identify("plan", 1, x=1))
            return [each.topic for each in log.appended[before:]]

        assert {"flagstream.events"} == set(asyncio.run(scenario()))
