"""Which records events become, and what is left out."""

import asyncio

import pytest

from flagstream.errors import LogUnavailableError
from flagstream.ports import Append, ProjectSettings
from flagstream.state.groups import GroupUpdate
from flagstream.state.persons import PersonUpdate
from flagstream.topics import Topic, key_parts, record_key
from tests.fakes.capture import NOW_MS, PROJECT_ID, Capturing, event, group_identify, in_groups

UUID = "00000000-0000-4000-8000-000000000001"
OTHER_UUID = "00000000-0000-4000-8000-000000000002"


def keys(log, topic):
    return [key_parts(each.key) for each in log.appended if each.topic is topic]


class TestEvents:
    async def test_every_event_is_kept(self, log, capturing):
        """
        An accepted event goes to the event store as it was sent, its groups also as text.
        """
        await capturing.send(in_groups("s1", {"company": 5, "": 1}, late_ms=40, uuid=UUID))
        (record,) = log.records(Topic.EVENTS)

        assert [[PROJECT_ID, "user-1"]] == keys(log, Topic.EVENTS)
        assert (UUID, "ev", "s1") == (record.uuid, record.event, record.session_id)
        assert (NOW_MS - 40, NOW_MS) == (record.time_ms, record.received_ms)
        assert {"company": "5"} == record.groups
        assert {"company": 5, "": 1} == record.properties["$groups"]

    async def test_rejected_beside_good(self, log, capturing):
        """
        Nothing of a malformed event is kept but a sample; the good one beside it is.
        """
        done = await capturing.send(event(uuid="no"), event())

        assert 1 == len(log.records(Topic.EVENTS))
        assert [(0, "no", "uuid")] == [
            (each.index, each.uuid, each.field) for each in done.rejections
        ]
        assert [("uuid", "text of 2 characters")] == [
            (each.field, each.got) for each in capturing.warnings.added
        ]

    async def test_nothing_usable(self, log, capturing):
        """
        A request of which nothing is usable says so, and by which field of each event.
        """
        done = await capturing.send(event(""), event(uuid="no"))

        assert done.is_empty
        assert ["event", "uuid"] == [each.field for each in done.rejections]
        assert [] == log.appended
        assert 2 == len(capturing.warnings.added)

    async def test_too_large(self, log, capturing):
        """
        An event that no log takes is refused, with the good one beside it kept.
        """
        done = await capturing.send(event(properties={"a": "x" * 1_048_576}), event())

        assert ["event"] == [each.field for each in done.rejections]
        assert 1 == len(log.records(Topic.EVENTS))


class TestGroupTypes:
    async def test_claimed_once(self, log, capturing):
        """
        A new type is claimed once, however many events name it before it is visible.
        """
        await capturing.send(in_groups("s1", {"company": "a"}), in_groups("s1", {"company": "b"}))
        await capturing.send(in_groups("s1", {"company": "c"}))
        log.fold()
        await capturing.send(in_groups("s1", {"company": "d"}))

        assert ["company"] == [each.group_type for each in log.records(Topic.GROUP_TYPE_CLAIMS)]

    @pytest.mark.parametrize("folds", [None, 0])
    async def test_sixth_is_refused(self, log, capturing, folds):
        """
        Of a sixth type no state is written; it is shown, and the event is kept as it was.
        """
        five = {f"type-{number}": "k" for number in range(5)}
        await capturing.send(in_groups("s1", five))
        log.fold(folds)
        await capturing.send(
            in_groups("s1", {"sixth": "k", "type-0": "l"}), group_identify("sixth", "k", a=1)
        )
        log.fold()

        assert 5 == len(log.records(Topic.GROUP_TYPE_CLAIMS))
        assert "sixth" not in {key[1] for key in keys(log, Topic.GROUP_UPDATES)}
        assert {"type-0": "l"} == log.records(Topic.SESSION_UPDATES)[-1].groups
        assert "sixth" in log.records(Topic.EVENTS)[1].properties["$groups"]
        assert ["another: 'sixth'"] * 2 == [each.got for each in capturing.warnings.added]


class TestGroups:
    async def test_first_sight(self, log, capturing):
        """
        A group that is only named comes into being once, without properties.
        """
        await capturing.send(
            in_groups("s1", {"company": "a"}), event(properties={"$groups": {"company": "a"}})
        )
        log.fold()
        await capturing.send(in_groups("s2", {"company": "a"}))

        assert [GroupUpdate(time_ms=NOW_MS)] == log.records(Topic.GROUP_UPDATES)
        assert [[PROJECT_ID, "company", "a"]] == keys(log, Topic.GROUP_UPDATES)

    async def test_identify_without_properties(self, log, capturing):
        """
        An empty change still brings the group into being, under a number's text.
        """
        await capturing.send(group_identify("company", 5))

        assert [[PROJECT_ID, "company", "5"]] == keys(log, Topic.GROUP_UPDATES)

    @pytest.mark.parametrize(
        ("change", "is_sent"),
        [
            ({"plan": "pro"}, False),
            ({"plan": "pro", "seats": 5}, False),
            ({"seats": 5.0}, True),
            ({"flag": 1}, True),
            ({"plan": "free"}, True),
            ({"other": None}, True),
            ({"once": {"plan": "free"}}, False),
            ({"once": {"since": 2020}}, True),
            ({"unset": ["other"]}, False),
            ({"unset": ["plan"]}, True),
        ],
    )
    async def test_only_changes(self, log, capturing, change, is_sent):
        """
        A change that the view shows already is left out; 1, 1.0 and true are three values.
        """
        await capturing.send(group_identify("company", "a", plan="pro", seats=5, flag=True))
        log.fold()
        unset = change.pop("unset", ())
        await capturing.send(group_identify("company", "a", unset, **change))

        assert is_sent == (2 == len(log.records(Topic.GROUP_UPDATES)))

    async def test_there_and_back_in_flight(self, log, capturing):
        """
        While a change is in flight its taking back is sent, though the view shows the old value.
        """
        await capturing.send(group_identify("company", "a", plan="pro"))
        log.fold()
        await capturing.send(group_identify("company", "a", plan="free"))
        await capturing.send(group_identify("company", "a", plan="pro"))
        log.fold()

        assert {"plan": "pro"} == log.group_properties(PROJECT_ID, "company", "a")

    async def test_there_and_back_while_appending(self, log, capturing):
        """
        The same holds while the first is not even appended.
        """
        await capturing.send(group_identify("company", "a", plan="pro"))
        log.fold()
        log.gate.clear()
        first = asyncio.create_task(capturing.send(group_identify("company", "a", plan="free")))
        second = asyncio.create_task(capturing.send(group_identify("company", "a", plan="pro")))
        await asyncio.sleep(0)
        log.gate.set()
        await asyncio.gather(first, second)
        log.fold()

        assert {"plan": "pro"} == log.group_properties(PROJECT_ID, "company", "a")

    async def test_after_a_failure(self, log, capturing):
        """
        After a failed append nobody knows what the log has, so the next change is sent anyway.
        """
        await capturing.send(group_identify("company", "a", plan="pro"))
        log.fold()
        log.is_down = True
        with pytest.raises(LogUnavailableError):
            await capturing.send(group_identify("company", "a", plan="free"))
        log.is_down = False
        await capturing.send(group_identify("company", "a", plan="pro"))

        assert 2 == len(log.records(Topic.GROUP_UPDATES))


class TestSessions:
    async def test_whole_map(self, log, capturing):
        """
        The map of a session is replaced as a whole; an event without one says nothing.
        """
        await capturing.send(in_groups("s1", {"company": "a", "project": "p"}))
        await capturing.send(event(properties={"$session_id": "s1"}))
        await capturing.send(in_groups("s1", {"company": "b"}))
        await capturing.send(in_groups("s1", {}))

        assert [{"company": "a", "project": "p"}, {"company": "b"}, {}] == [
            each.groups for each in log.records(Topic.SESSION_UPDATES)
        ]
        assert [PROJECT_ID, "s1"] == keys(log, Topic.SESSION_UPDATES)[0]

    @pytest.mark.parametrize(
        "properties",
        [{}, {"$session_id": "s1", "$is_server": True}, {"$session_id": "s1", "$groups": [1]}],
    )
    async def test_not_a_session(self, log, capturing, properties):
        """
        Servers, events outside sessions and maps that are none move nobody.
        """
        await capturing.send(event(properties={"$groups": {"company": "a"}, **properties}))

        assert [] == log.records(Topic.SESSION_UPDATES)

    async def test_switched_off(self, log, capturing):
        """
        A project that wants no memory gets none.
        """
        capturing.catalog.settings = ProjectSettings(remember_active_groups=False)
        await capturing.send(in_groups("s1", {"company": "a"}))

        assert [] == log.records(Topic.SESSION_UPDATES)

    async def test_one_update_a_request(self, log, capturing):
        """
        Of a session's events in one request the latest by time counts.
        """
        await capturing.send(
            in_groups("s1", {"company": "b"}), in_groups("s1", {"company": "a"}, late_ms=50)
        )

        assert [{"company": "b"}] == [each.groups for each in log.records(Topic.SESSION_UPDATES)]

    async def test_future(self, log, capturing):
        """
        A time in the future counts as the time of receipt.
        """
        future = event(
            timestamp="2099-01-01T00:00:00Z",
            properties={"$session_id": "s1", "$groups": {"company": "a"}},
        )
        await capturing.send(future)

        assert [NOW_MS] == [each.time_ms for each in log.records(Topic.SESSION_UPDATES)]

    async def test_late_between_unchanged(self, log, capturing):
        """
        A late event does not win over a younger one that was left out for changing nothing.
        """
        await capturing.send(in_groups("s1", {"company": "a"}))
        log.fold()
        await capturing.send(in_groups("s1", {"company": "a"}))
        await capturing.send(in_groups("s1", {"company": "b"}, late_ms=150))
        log.fold()

        assert {"company": "a"} == log.session_groups(PROJECT_ID, "s1", "user-1")


class TestPersons:
    async def test_set(self, log, capturing):
        """
        Changes of a person go to its distinct id; known ones are left out.
        """
        change = {"$set": {"plan": "pro"}, "$set_once": {"first": 1}, "$unset": ["old"]}
        await capturing.send(event("$set", properties=change, uuid=UUID))
        log.fold()
        await capturing.send(event("$set", properties={**change, "$set_once": {"first": 2}}))

        assert [
            PersonUpdate(
                time_ms=NOW_MS,
                uuid=UUID,
                set={"plan": "pro"},
                set_once={"first": 1},
                unset=["old"],
            )
        ] == log.records(Topic.PERSON_UPDATES)
        assert [[PROJECT_ID, "user-1"]] == keys(log, Topic.PERSON_UPDATES)

    @pytest.mark.parametrize("folds", [None, 0])
    async def test_identify(self, log, capturing, folds):
        """
        What was known of the anonymous id goes along, after what the person has, and before what
        comes with the event; later changes of the anonymous id are the person's.
        """
        await capturing.send(
            event("$set", "anon-1", properties={"$set": {"a": 1, "b": 1}, "$unset": ["d"]}),
            event("$set", "user-1", properties={"$set": {"b": 2}}),
        )
        log.fold(folds)
        await capturing.send(
            event(
                "$identify",
                properties={"$anon_distinct_id": "anon-1", "$set_once": {"a": 3, "c": 3}},
            )
        )
        log.fold(folds)
        await capturing.send(event("$set", "anon-1", properties={"$set": {"e": 4}}))
        log.fold()
        person = log.person(PROJECT_ID, "anon-1")

        assert ("user-1", True) == (person.distinct_id, person.is_identified)
        assert {"a": 1, "b": 2, "c": 3, "e": 4} == person.properties

    @pytest.mark.parametrize("folds", [None, 0])
    async def test_merged_once(self, log, capturing, folds):
        """
        A merge that is done, or in flight, is not sent again.
        """
        identify = event("$identify", properties={"$anon_distinct_id": "anon-1"})
        await capturing.send(identify)
        log.fold(folds)
        await capturing.send(identify)

        assert ["user-1"] == [each.into for each in log.records(Topic.PERSON_UPDATES) if each.into]

    async def test_hash_keys_beside_changes(self, log, capturing):
        """
        A hash key that a flag request leaves behind hides no change, and makes none known.
        """
        await capturing.send(event("$set", properties={"$set": {"plan": "pro"}}, uuid=UUID))
        update = PersonUpdate(time_ms=NOW_MS, hash_keys={"beta": "anon-1"})
        key = record_key(PROJECT_ID, "user-1")
        await log.append([Append(Topic.PERSON_UPDATES, key, update.to_bytes())])
        log.fold()
        await Capturing(log).send(event("$set", properties={"$set": {"plan": "pro"}}, uuid=UUID))
        await capturing.send(event("$set", properties={"$set": {"plan": "pro"}}))
        await capturing.send(event("$identify", properties={"$anon_distinct_id": "anon-1"}))
        log.fold()
        person = log.person(PROJECT_ID, "user-1")

        assert ({"plan": "pro"}, {"beta": "anon-1"}) == (person.properties, person.hash_keys)
        assert ("user-1", "anon-1") == person.distinct_ids
        assert [{}, {"beta": "anon-1"}, {}, {}] == [
            each.hash_keys for each in log.records(Topic.PERSON_UPDATES)
        ]

    async def test_known_by_hash_keys_only(self, log, capturing):
        """
        Of a person of whom only hash keys are known every change is sent.
        """
        update = PersonUpdate(time_ms=NOW_MS, hash_keys={"beta": "anon-1"})
        key = record_key(PROJECT_ID, "user-1")
        await log.append([Append(Topic.PERSON_UPDATES, key, update.to_bytes())])
        log.fold()
        await capturing.send(event("$set", properties={"$set_once": {"first": 1}}))
        await capturing.send(event("$identify", properties={"$anon_distinct_id": "anon-1"}))
        log.fold()
        person = log.person(PROJECT_ID, "user-1")

        assert ({"first": 1}, True) == (person.properties, person.is_identified)
        assert {"beta": "anon-1"} == person.hash_keys


class TestRetries:
    @pytest.mark.parametrize("folds", [None, 0])
    @pytest.mark.parametrize(
        "repeated",
        [
            event(uuid=UUID),
            {**group_identify("company", "a", plan="pro"), "uuid": UUID},
            event("$set", uuid=UUID, properties={"$set": {"plan": "pro"}}),
        ],
    )
    async def test_not_appended_again(self, log, capturing, repeated, folds):
        """
        An event that comes again is answered as accepted, and appended only once.
        """
        first = await capturing.send(repeated)
        log.fold(folds)
        again = await capturing.send(repeated, repeated)

        assert 1 == len(log.records(Topic.EVENTS))
        assert ([], first.positions) == (again.rejections, again.positions)

    @pytest.mark.parametrize(
        "repeated",
        [
            {**group_identify("company", "a", plan="pro"), "uuid": UUID},
            event("$set", uuid=UUID, properties={"$set": {"plan": "pro"}}),
        ],
    )
    async def test_after_a_restart(self, log, capturing, repeated):
        """
        What changed state is known by the state, also to another process.
        """
        await capturing.send(repeated)
        log.fold()
        before = len(log.appended)
        await Capturing(log).send(repeated)

        assert before == len(log.appended)

    async def test_seen_elsewhere(self, log, capturing):
        """
        What the log has had is not appended again, whoever took it; it is answered as accepted.
        """
        capturing.seen.add((PROJECT_ID, UUID))

        answer = await capturing.send(event(uuid=UUID), event(uuid=OTHER_UUID))

        assert ([], False) == (answer.rejections, answer.is_empty)
        assert [OTHER_UUID] == [each.uuid for each in log.records(Topic.EVENTS)]

    async def test_left_out_and_retried_late(self, log, capturing):
        """
        A retry of an event that changed nothing does not take back what came after it.
        """
        late = {**group_identify("company", "a", plan="pro"), "uuid": UUID}
        await capturing.send(group_identify("company", "a", plan="pro"))
        log.fold()
        await capturing.send(late)
        await capturing.send(group_identify("company", "a", plan="free"))
        log.fold()
        await capturing.send(late)
        log.fold()

        assert {"plan": "free"} == log.group_properties(PROJECT_ID, "company", "a")

    async def test_overtaking(self, log, capturing):
        """
        A retry that overtakes its first attempt waits for it, and fails with it.
        """
        log.gate.clear()
        log.is_down = True
        attempts = [asyncio.create_task(capturing.send(event(uuid=UUID))) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(each.done() for each in attempts)
        log.gate.set()
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        log.is_down = False
        await capturing.send(event(uuid=UUID))

        assert [LogUnavailableError] * 2 == list(map(type, outcomes))
        assert 1 == len(log.records(Topic.EVENTS))


class TestPositions:
    async def test_only_of_state(self, log, capturing):
        """
        Who waits, waits for the records that state follows from, also those that others sent.
        """
        assert 1 == len((await capturing.send(event())).positions)
        log.fold()
        assert [] == list((await capturing.send(event())).positions)

        first = await capturing.send(in_groups("s1", {"company": "a"}))
        second = await capturing.send(event(properties={"$groups": {"company": "a"}}))

        assert 3 == len(first.positions)
        assert set(second.positions) < set(first.positions)
