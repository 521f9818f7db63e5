"""Who events make a person, and which persons they make one."""

import asyncio

import pytest

from flagstream.errors import LogUnavailableError
from flagstream.ports import Append
from flagstream.state.persons import PersonUpdate
from flagstream.topics import Topic, record_key
from tests.fakes.capture import (
    NOW_MS,
    PROJECT_ID,
    Capturing,
    alias,
    change_person,
    event,
    group_identify,
    identify,
    in_groups,
    merge_dangerously,
)
from tests.fakes.sink import FoldedLog

UUID = "00000000-0000-4000-8000-000000000001"
folding = pytest.mark.parametrize("folds", [None, 0], ids=["visible", "in flight"])


def updates(log):
    return log.records(Topic.PERSON_UPDATES)


def persons(log, *distinct_ids):
    """Tell by which ids the persons behind *distinct_ids* stay."""
    log.fold()
    found = [log.person(PROJECT_ID, each) for each in distinct_ids]
    return [person and person.distinct_id for person in found]


class TestFirstSight:
    @folding
    async def test_once(self, log, capturing, folds):
        """
        An id is a person from its first event on; the events after it write nothing of it.
        """
        for _ in range(3):
            await capturing.send(event(), event())
            log.fold(folds)
        log.fold()
        person = log.person(PROJECT_ID, "user-1")

        assert [PersonUpdate(time_ms=NOW_MS)] == updates(log)
        assert ({}, False, NOW_MS) == (
            person.properties,
            person.is_identified,
            person.created_at_ms,
        )

    async def test_any_id_of_a_person(self, log, capturing):
        """
        An id that was merged into a person is not seen for the first time.
        """
        await capturing.send(identify("user-1", "anon-1"))
        log.fold()
        before = len(updates(log))
        await capturing.send(event(distinct_id="anon-1"), event(distinct_id="user-1"))

        assert before == len(updates(log))

    async def test_other_projects(self, log, capturing):
        """
        What one project has seen, another has not.
        """
        await capturing.send(event())
        log.fold()
        await capturing.send(event())
        await capturing.send(event(), project_id=PROJECT_ID + 1)
        log.fold()

        assert log.person(PROJECT_ID + 1, "user-1") is not None

    @pytest.mark.parametrize(
        "silent",
        [
            event(properties={"$process_person_profile": False}),
            identify("user-1", "anon-1", process_person_profile=False),
            change_person("user-1", set={"a": 1}, process_person_profile=False),
            group_identify("company", "a", plan="pro"),
        ],
        ids=["plain", "identify", "set", "group"],
    )
    async def test_nobody(self, log, capturing, silent):
        """
        Who asks for no profile gets none, and a change of a group is about nobody.
        """
        await capturing.send(silent)

        assert [] == updates(log)

    async def test_group_identify_of_a_person(self, log, capturing):
        """
        What a change of a group says of a person counts: browsers send it with the user's id.
        """
        change = group_identify("company", "a", plan="pro")
        await capturing.send({**change, "$set_once": {"first": "here"}})
        log.fold()

        assert {"first": "here"} == log.person(PROJECT_ID, "user-1").properties

    @pytest.mark.parametrize(("late_ms", "created_at_ms"), [(500, NOW_MS - 500), (-500, NOW_MS)])
    async def test_created_at(self, log, capturing, late_ms, created_at_ms):
        """
        A person was made when its first event happened, and not in the future.
        """
        await capturing.send(event(late_ms=late_ms))
        log.fold()

        assert created_at_ms == log.person(PROJECT_ID, "user-1").created_at_ms

    async def test_after_a_failure(self, log, capturing):
        """
        What could not be appended was not seen.
        """
        log.is_down = True
        with pytest.raises(LogUnavailableError):
            await capturing.send(event())
        log.is_down = False
        await capturing.send(event())

        assert [PersonUpdate(time_ms=NOW_MS + 100)] == updates(log)

    async def test_known_ids_are_bounded(self, log, capturing, monkeypatch):
        """
        Of more ids than are remembered, the others are looked up.
        """
        ids = [f"user-{number}" for number in range(5)]
        monkeypatch.setattr("flagstream.ingest.persons._MAX_SEEN", 3)
        for _ in range(3):
            await capturing.send(*(event(distinct_id=each) for each in ids))
            log.fold()

        assert len(ids) == len(updates(log))


class TestIdentify:
    @folding
    async def test_identified_is_not_merged(self, log, capturing, folds):
        """
        Nobody who was identified becomes somebody else at a login, and the operator is told.
        """
        await capturing.send(identify("user-1", "anon-1"))
        log.fold(folds)
        await capturing.send(
            identify("user-2", "user-1", set={"a": 1}), identify("user-3", "anon-1")
        )
        warnings = capturing.warnings.added

        assert ["user-1", "user-1", "user-2", "user-3"] == persons(
            log, "anon-1", "user-1", "user-2", "user-3"
        )
        assert {"a": 1} == log.person(PROJECT_ID, "user-2").properties
        assert ["properties.$anon_distinct_id"] * 2 == [each.field for each in warnings]
        assert ("an id that was not identified", "user-2") == (
            warnings[0].expected,
            warnings[0].distinct_id,
        )

    @folding
    async def test_what_the_person_unset_comes_back(self, log, capturing, folds):
        """
        What the merged person has counts where the target has nothing, also where that was removed
        before; what is removed later stays so.
        """
        await capturing.send(
            change_person("user-1", set={"a": 1}),
            change_person("anon-1", set={"a": 2, "b": 2, "c": 2}),
            change_person("user-1", unset=["a"]),
        )
        log.fold(folds)
        await capturing.send(identify("user-1", "anon-1", unset=["b"]))
        log.fold(folds)
        await capturing.send(change_person("anon-1", unset=["c"]))
        log.fold()

        assert {"a": 2} == log.person(PROJECT_ID, "user-1").properties

    @folding
    async def test_the_oldest_stays(self, log, capturing, folds):
        """
        A person is as old as the oldest that went into it.
        """
        await capturing.send(event(distinct_id="user-1"), event(distinct_id="anon-1", late_ms=900))
        log.fold(folds)
        await capturing.send(identify("user-1", "anon-1"))
        log.fold()

        assert NOW_MS - 900 == log.person(PROJECT_ID, "user-1").created_at_ms

    async def test_retried_after_a_failure(self, log, capturing):
        """
        A merge that could not be appended is done by the retry.
        """
        login = {**identify("user-1", "anon-1"), "uuid": UUID}
        log.is_down = True
        with pytest.raises(LogUnavailableError):
            await capturing.send(login)
        log.is_down = False
        await capturing.send(login)

        assert ["user-1"] == persons(log, "anon-1")

    async def test_another_request_fails(self, log, capturing):
        """
        A merge is not left out because another request is about to append it: that may fail.
        """
        attempts = []
        for _ in range(2):
            gate = log.gate = asyncio.Event()
            attempt = asyncio.create_task(capturing.send(identify("user-1", "anon-1")))
            attempts.append((gate, attempt))
            await asyncio.sleep(0)
        for log.is_down, (gate, attempt) in zip([True, False], attempts, strict=True):
            gate.set()
            await asyncio.wait([attempt])

        assert [LogUnavailableError, type(None)] == [type(each.exception()) for _, each in attempts]
        assert ["user-1"] == persons(log, "anon-1")

    async def test_half_of_it_was_lost(self, log, capturing):
        """
        Where a failed request left only one half of a merge in the log, the retry adds the other.
        """
        await capturing.send(change_person("anon-1", set={"a": 1}))
        key = record_key(PROJECT_ID, "anon-1")
        half = PersonUpdate(time_ms=NOW_MS, uuid=UUID, into="user-1")
        await log.append([Append(Topic.PERSON_UPDATES, key, half.to_bytes())])
        log.fold()
        await capturing.send({**identify("user-1", "anon-1"), "uuid": UUID})
        log.fold()

        assert {"a": 1} == log.person(PROJECT_ID, "user-1").properties


class TestAlias:
    @folding
    @pytest.mark.parametrize("make", [alias, lambda one, other: alias(other, one)])
    @pytest.mark.parametrize("is_known", [True, False])
    async def test_either_direction(self, log, capturing, make, is_known, folds):
        """
        Of an identified and another id the other one is merged, whichever is named first, and
        whether it was ever seen before.
        """
        await capturing.send(identify("user-1", "anon-1", set={"plan": "pro"}))
        if is_known:
            await capturing.send(change_person("old", set={"plan": "free", "city": "Oslo"}))
        log.fold(folds)
        await capturing.send(make("user-1", "old"))

        assert ["user-1"] * 3 == persons(log, "user-1", "anon-1", "old")
        assert "pro" == log.person(PROJECT_ID, "old").properties["plan"]
        assert is_known is ("city" in log.person(PROJECT_ID, "old").properties)
        assert [] == capturing.warnings.added

    @folding
    async def test_neither_identified(self, log, capturing, folds):
        """
        Where nobody is identified, the alias is merged into the event's id, which is from then on.
        """
        await capturing.send(change_person("old", set={"a": 1, "b": 1}))
        await capturing.send(change_person("new", set={"b": 2, "c": 2}))
        log.fold(folds)
        await capturing.send(alias("old", "new"))
        log.fold(folds)
        await capturing.send(identify("user-1", "old"))

        assert ["old", "old", "user-1"] == persons(log, "old", "new", "user-1")
        person = log.person(PROJECT_ID, "new")
        assert ({"a": 1, "b": 1, "c": 2}, True) == (person.properties, person.is_identified)

    @folding
    async def test_both_identified(self, log, capturing, folds):
        """
        Two identified persons stay two; what comes with the event counts, and operators are told.
        """
        await capturing.send(identify("user-1", "anon-1"), identify("user-2", "anon-2"))
        log.fold(folds)
        await capturing.send(alias("user-1", "user-2", set={"a": 1}))

        assert ["user-1", "user-2"] == persons(log, "user-1", "anon-2")
        assert {"a": 1} == log.person(PROJECT_ID, "user-1").properties
        assert ["properties.alias"] == [each.field for each in capturing.warnings.added]

    @folding
    async def test_again_in_the_other_direction(self, log, capturing, folds):
        """
        An alias that is known changes nothing, however it is said.
        """
        await capturing.send(alias("a", "b"))
        log.fold(folds)
        before = len(log.records(Topic.EVENTS))
        known = [each for each in updates(log) if each.into]
        await capturing.send(alias("b", "a"), alias("a", "b"))

        assert before + 2 == len(log.records(Topic.EVENTS))
        assert known == [each for each in updates(log) if each.into]
        assert ["a", "a"] == persons(log, "a", "b")

    async def test_races_with_a_login(self, log, capturing):
        """
        An alias that another node has let through holds although a login came before it.
        """
        other = Capturing(FoldedLog(log))
        await capturing.send(identify("user-1", "anon-1", set={"plan": "pro"}))
        await other.send(alias("old", "anon-1", set={"plan": "free", "city": "Oslo"}))

        assert ["user-1"] * 3 == persons(log, "anon-1", "old", "user-1")
        assert {"plan": "pro", "city": "Oslo"} == log.person(PROJECT_ID, "old").properties

    async def test_loses_against_a_login(self, log, capturing):
        """
        Two who are identified do not become one, at however many nodes it is said.
        """
        other = Capturing(FoldedLog(log))
        await capturing.send(identify("user-2", "anon-2"))
        log.fold()
        other.log.fold()
        await capturing.send(identify("user-1", "anon-1"))
        await other.send(alias("user-2", "anon-1"))

        assert ["user-1", "user-1", "user-2"] == persons(log, "anon-1", "user-1", "user-2")


class TestMergeDangerously:
    @folding
    async def test_identified(self, log, capturing, folds):
        """
        The alias goes into the event's id even where both are identified.
        """
        await capturing.send(identify("user-1", "anon-1", set={"a": 1}))
        await capturing.send(identify("user-2", "anon-2", set={"a": 2, "b": 2}))
        log.fold(folds)
        await capturing.send(merge_dangerously("user-1", "user-2"))

        assert ["user-1"] * 4 == persons(log, "user-1", "user-2", "anon-1", "anon-2")
        assert {"a": 1, "b": 2} == log.person(PROJECT_ID, "anon-2").properties


class TestEverythingElse:
    @folding
    async def test_a_merge_joins_no_groups(self, log, capturing, folds):
        """
        Who are one person act for the groups that each acted for: neither groups nor sessions
        change, and the active group of an id stays what it was.
        """
        await capturing.send(
            in_groups("s1", {"company": "a"}, distinct_id="anon-1"),
            in_groups("s2", {"company": "b"}, distinct_id="user-1"),
        )
        log.fold(folds)
        before = len(log.appended)
        await capturing.send(
            identify("user-1", "anon-1"), alias("user-1", "x"), merge_dangerously("user-1", "y")
        )
        log.fold()

        assert {Topic.EVENTS, Topic.PERSON_UPDATES} == {
            each.topic for each in log.appended[before:]
        }
        assert [{"company": "a"}, {"company": "b"}] == [
            log.active_groups(PROJECT_ID, each, None, 0) for each in ("anon-1", "user-1")
        ]

    @folding
    async def test_a_merge_moves_no_event(self, log, capturing, folds):
        """
        An event stays where it was captured, under the id that it came with, before and after.
        """
        sent = [event("paid", "anon-1"), identify("user-1", "anon-1"), event("paid", "anon-1")]
        for each in sent:
            await capturing.send(each)
            log.fold(folds)
        records = [each for each in log.appended if each.topic is Topic.EVENTS]

        assert [("paid", "anon-1"), ("$identify", "user-1"), ("paid", "anon-1")] == [
            (each.event, each.distinct_id) for each in log.records(Topic.EVENTS)
        ]
        assert [record_key(PROJECT_ID, each["distinct_id"]) for each in sent] == [
            each.key for each in records
        ]
