"""What events, groups and persons may hold, and what is told of the rest."""

import pytest

from flagstream.errors import RecordError
from flagstream.limits import MAX_STATE_BYTES
from flagstream.state.groups import GroupUpdate
from flagstream.state.merge import REDUCERS
from flagstream.topics import Table, Topic
from flagstream.wire import group_change
from tests.fakes.capture import NOW_MS, PROJECT_ID, Capturing, event, group_identify

UUID = "00000000-0000-4000-8000-000000000001"


def told(capturing):
    return [(each.kind, each.field, each.got) for each in capturing.warnings.added]


def group(log):
    return log.group_properties(PROJECT_ID, "company", "a")


class TestEvents:
    async def test_size(self, log):
        """
        An event of just the largest size is kept; with a byte more it is refused, and those beside
        it are kept.
        """
        await Capturing(log).send(event(uuid=UUID, properties={"a": ""}))
        (empty,) = log.appended[:1]
        capturing = Capturing(log, event_bytes=len(empty.value) + 100)
        within = await capturing.send(event(properties={"a": "é" * 50}))
        over = await capturing.send(event(properties={"a": "é" * 50 + "x"}), event())

        assert [0, 1] == [len(within.rejections), len(over.rejections)]
        assert 3 == len(log.records(Topic.EVENTS))
        assert [("event_too_large", "event", f"{len(empty.value) + 101} bytes")] == told(capturing)
        assert ("ev", "user-1") == (
            capturing.warnings.added[0].event,
            capturing.warnings.added[0].distinct_id,
        )

    async def test_depth(self, log):
        """
        Of an event that is kept, what is nested too deep is not, nor does any state follow from it.
        """
        capturing = Capturing(log, property_depth=2)
        deep = {"deep": [[[1]]], "plan": [["gold"]]}
        await capturing.send(
            group_identify("company", "a", **deep), event(properties={**deep, "$set": deep})
        )
        log.fold()
        identified, other = log.records(Topic.EVENTS)

        flat = {"plan": [["gold"]]}
        assert flat == identified.properties["$group_set"] == group(log)
        assert {**flat, "$set": flat} == other.properties
        assert flat == log.person(PROJECT_ID, "user-1").properties
        assert ["properties.$group_set.deep", "properties.deep", "properties.$set.deep"] == [
            each.field for each in capturing.warnings.added
        ]

    async def test_brackets_in_texts(self, log):
        """
        Brackets in texts nest nothing.
        """
        capturing = Capturing(log, property_depth=1)
        properties = {"a": "[" * 100, "b": [1], "c": [{}]}
        await capturing.send(event(properties=properties))

        assert [properties] == [each.properties for each in log.records(Topic.EVENTS)]


class TestGroups:
    async def test_properties_over_time(self, log):
        """
        A group takes no more properties than it may have, however few come at a time; what it has
        can be changed, and what is removed makes room.
        """
        capturing = Capturing(log, properties=6)
        for number in range(8):
            await capturing.send(group_identify("company", "a", **{f"p{number}": number, "p0": 9}))
            log.fold()

        assert {"p0": 9, **{f"p{number}": number for number in range(1, 6)}} == group(log)
        assert [("group_too_large", "properties.$group_set", "7 properties")] * 2 == told(capturing)
        removal = {"$group_type": "company", "$group_key": "a", "$group_unset": ["p1"]}
        await capturing.send(event("$groupidentify", properties=removal))
        log.fold()
        await capturing.send(group_identify("company", "a", p6=6))
        log.fold()
        assert ["p0", "p2", "p3", "p4", "p5", "p6"] == sorted(group(log))

    async def test_names_over_time(self, log):
        """
        Names that were removed count as well, up to as many again: they are stored for good.
        """
        capturing = Capturing(log, properties=6)
        for number in range(14):
            await capturing.send(group_identify("company", "a", **{f"p{number}": number}))
            log.fold()
            removal = {
                "$group_type": "company",
                "$group_key": "a",
                "$group_unset": [f"p{number}"],
            }
            await capturing.send(event("$groupidentify", properties=removal))
            log.fold()

        assert 12 == len(log.group(PROJECT_ID, "company", "a").properties)
        assert {"13 names"} == {each.got for each in capturing.warnings.added}

    async def test_bytes_over_time(self, log):
        """
        A group does not grow beyond its largest size; smaller values are taken all the same.
        """
        capturing = Capturing(log, state_bytes=100)
        for name, value in (("a", "x" * 60), ("b", "x" * 60), ("c", 1), ("a", "x" * 90), ("a", 1)):
            await capturing.send(group_identify("company", "a", **{name: value}))
            log.fold()

        assert {"a": 1, "c": 1} == group(log)
        assert ["group_too_large"] * 2 == [each.kind for each in capturing.warnings.added]

    async def test_over_the_api(self, log):
        """
        A change that does not fit is refused as a whole, those beside it are made.
        """
        await Capturing(log).send(group_identify("company", "a", p0=0, p1=1))
        log.fold()
        capturing = Capturing(log, properties=2)
        changes = [
            group_change(
                {"group_type": "company", "group_key": key, "group_properties": {"p2": 2, "p1": 9}},
                capturing.limits,
            )
            for key in ("a", "b")
        ]
        done = await capturing.ingest.change_groups(PROJECT_ID, changes, NOW_MS)
        log.fold()

        assert [0] == list(done.refused)
        assert {"p0": 0, "p1": 1} == group(log)
        assert {"p2": 2, "p1": 9} == log.group_properties(PROJECT_ID, "company", "b")
        assert ["group_too_large"] == [each.kind for each in capturing.warnings.added]

    def test_last_line(self):
        """
        What several nodes take in at once is refused by the agents, before no log takes the state;
        what makes it smaller is folded.
        """
        reducer = REDUCERS[Table.GROUPS]
        half = "x" * (MAX_STATE_BYTES // 2)
        first = GroupUpdate(time_ms=1, set={"a": half}).to_bytes()
        state = reducer.fold(None, first, 1)
        second = GroupUpdate(time_ms=1, set={"b": half}).to_bytes()

        with pytest.raises(RecordError, match="state: expected at most 3500000 bytes, got 350"):
            reducer.fold(state, second, 2)
        smaller = reducer.fold(state, GroupUpdate(time_ms=1, unset=["a"]).to_bytes(), 3)
        assert smaller is not None
        assert len(smaller) < len(first)


class TestPersons:
    async def test_over_time(self, log):
        """
        A person takes no more properties than it may have; its merges are made all the same.
        """
        capturing = Capturing(log, properties=2)
        for number in range(3):
            await capturing.send(event(**{"$set": {f"p{number}": number, "p0": 9}}))
            log.fold()
        await capturing.send(
            event("$identify", properties={"$anon_distinct_id": "anon-1", "$set_once": {"p5": 1}})
        )
        log.fold()

        person = log.person(PROJECT_ID, "anon-1")
        assert {"p0": 9, "p1": 1} == person.properties
        assert "user-1" == person.distinct_id
        assert [("person_too_large", "properties.$set", "3 properties")] * 2 == told(capturing)
