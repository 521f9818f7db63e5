"""What requests read of groups, sessions and persons."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagstream.ports import PropertyWrite, Remembered, Search
from flagstream.state.definitions import Kind
from flagstream.state.groups import GroupUpdate
from flagstream.state.history import DefinitionChange
from flagstream.state.merge import REDUCERS
from flagstream.state.persons import PersonUpdate
from flagstream.state.sessions import SessionUpdate
from flagstream.topics import Table, record_key
from flagstream.views import StoredState, ViewStore
from flagstream.views.cache import MISSING, ObjectCache
from flagstream.views.merging import Merge
from tests.fakes.log import LogRecord

DAY_MS = 86_400_000
NOW_MS = 100 * DAY_MS


class World:
    """Updates that are folded and in the views at once."""

    def __init__(self, store):
        self.store = store
        self.state = StoredState(
            store, cache_entries=100, active_groups_ttl_days=30, clock_ms=lambda: NOW_MS
        )
        self._version = 0

    def fold(self, table, key_parts, update):
        self._version += 1
        key = record_key(*key_parts)
        before = next(
            (v for k, v in self.store.items(b"\0", b"\xff") if k[1:] == key and k[:1] != b"o"), None
        )
        after = REDUCERS[table].fold(before, update.to_bytes(), self._version)
        merge = Merge(self.store.get)
        merge.add(LogRecord(table.changelog, 0, self._version, 0, key, after))
        self.store.write(merge.changes, merge.positions)
        self.state.drop(merge.stale)

    def change(self, change_id, name="beta", kind="flag", **body):
        update = DefinitionChange(time_ms=1, author="somebody", body=body)
        self.fold(Table.HISTORY, (1, kind, name, change_id), update)

    def group(self, key, **properties):
        self.fold(Table.GROUPS, (1, "org", key), GroupUpdate(time_ms=1, set=properties))

    def session(self, session, distinct_id, time_ms=NOW_MS, **groups):
        update = SessionUpdate(time_ms=time_ms, distinct_id=distinct_id, groups=groups)
        self.fold(Table.SESSIONS, (1, session), update)

    def expire(self, session, time_ms=NOW_MS):
        self.fold(Table.SESSIONS, (1, session), SessionUpdate(time_ms=time_ms, is_expiry=True))

    def person(self, distinct_id, **update):
        self.fold(Table.PERSONS, (1, distinct_id), PersonUpdate(time_ms=1, **update))

    def merge(self, merged, into, *, is_firm=False):
        self.person(merged, into=into, is_firm=is_firm)
        self.person(into, merged=merged, is_identified=True, is_firm=is_firm)

    def active(self, distinct_id, session=None):
        return self.state.active_groups(1, distinct_id, session, NOW_MS)


def change_person(world, step, one, other):
    if step == "set":
        world.person(one, set={other: one})
    elif step == "unset":
        world.person(one, unset=[other])
    elif step == "merge":
        world.merge(one, other)
    elif step == "firm":
        world.merge(one, other, is_firm=True)
    elif step == "into":
        world.person(one, into=other, is_firm=True)
    elif step == "merged":
        world.person(one, merged=other, is_firm=True)
    elif step == "hash":
        world.person(one, hash_keys={"flag": other})


@pytest.fixture
def world(store):
    return World(store)


class TestGroups:
    def test_change_is_read_at_once(self, world):
        """
        A cached group gives way to its change; properties that were never set are absent.
        """
        assert world.state.group_properties(1, "org", "a") is None

        world.group("a", plan="free")
        assert {"plan": "free"} == world.state.group_properties(1, "org", "a")

        world.group("a", plan="gold", seats=3)
        assert {"plan": "gold", "seats": 3} == world.state.group_properties(1, "org", "a")
        assert 2 == world.state.group(1, "org", "a").version

    @pytest.mark.parametrize(("project_id", "group_type"), [(2, "org"), (1, "or"), (1, "org2")])
    def test_others_are_others(self, world, project_id, group_type):
        """
        Neither another project nor another type has the group.
        """
        world.group("a", plan="free")

        assert world.state.group(project_id, group_type, "a") is None
        assert (
            []
            == world.state.groups(project_id, group_type, search=Search(""), after=None, limit=9)[0]
        )


class TestListing:
    @settings(deadline=None, max_examples=20)  # every example opens RocksDB
    @given(
        keys=st.sets(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), max_size=12),
        limit=st.integers(1, 5),
    )
    def test_pages_hold_every_group_once(self, tmp_path_factory, keys, limit):
        """
        Following the pages gives every group exactly once, in a fixed order.
        """
        store = ViewStore(tmp_path_factory.mktemp("views"))
        world, found, after = World(store), [], None
        for key in keys:
            world.group(key)
        while True:
            page, after = world.state.groups(1, "org", search=Search(""), after=after, limit=limit)
            found += [key for key, _ in page]
            if after is None:
                break
        store.close()

        assert sorted(keys, key=lambda key: record_key(1, "org", key)) == found

    @pytest.mark.parametrize(
        ("part", "properties", "expected"),
        [
            ("", ["name"], ["Acme", "b:1", "c"]),
            ("acM", ["name"], ["Acme", "c"]),
            (":", ["name"], ["b:1"]),
            ("free", ["name"], []),
            ("free", ["name", "plan"], ["b:1"]),
            ("7", ["name"], ["b:1"]),
            ("acm", [], ["Acme"]),
        ],
    )
    def test_search(self, world, part, properties, expected):
        """
        A search finds a part of the key or of the properties that it names, in any case.
        """
        world.group("Acme")
        world.group("b:1", name=7, plan="free")
        world.group("c", name="New ACME")

        page = world.state.groups(1, "org", search=Search(part, properties), after=None, limit=10)

        assert expected == [key for key, _ in page.groups]
        assert page.after is None

    def test_one_call_is_bounded(self, world):
        """
        A search that finds nothing among many groups says where to go on.
        """
        value = REDUCERS[Table.GROUPS].fold(None, GroupUpdate(time_ms=1).to_bytes(), 1)
        groups = {b"g" + record_key(1, "org", f"{n:04}"): value for n in range(1_200)}
        world.store.write(groups, {})

        pages = [world.state.groups(1, "org", search=Search("x"), after=None, limit=10)]
        while pages[-1].after is not None:
            pages.append(
                world.state.groups(1, "org", search=Search("x"), after=pages[-1].after, limit=10)
            )

        assert [([], "0499"), ([], "0999"), ([], None)] == pages


class TestActiveGroups:
    def test_latest_session_wins(self, world):
        """
        An id remembers the map of its latest session by the events' time, not by arrival.
        """
        world.session("s1", "u", NOW_MS - 1, org="a")
        world.session("s2", "u", NOW_MS - 5, org="late")

        assert {"org": "a"} == world.active("u")

    def test_named_session_goes_before(self, world):
        """
        Where the request names a session that carried groups for this id, its map counts.
        """
        world.session("s1", "u", NOW_MS - 5, org="a")
        world.session("s2", "u", NOW_MS - 1, org="b")

        assert {"org": "a"} == world.active("u", "s1")
        assert {"org": "b"} == world.active("u", "unknown")

    def test_next_user_of_a_browser_gets_nothing(self, world):
        """
        Another id never gets the groups of a session, even when it names that session.
        """
        world.session("s1", "u", org="a")

        assert {} == world.active("v", "s1")

    def test_left_all_groups(self, world):
        """
        An empty map is an answer: older maps, also of merged ids, do not come back.
        """
        world.merge("anon", "u")
        world.session("s0", "anon", NOW_MS - 9, org="a")
        world.session("s1", "u", NOW_MS - 5, org="a")
        world.session("s2", "u", NOW_MS - 1)

        assert {} == world.active("u")

    def test_expired_session_uncovers_the_one_before(self, world):
        """
        When the latest session is deleted, the index falls back to the latest that is left.
        """
        world.session("s1", "u", NOW_MS - 5, org="a")
        world.session("s2", "u", NOW_MS - 1, org="b")
        assert {"org": "b"} == world.active("u")

        world.expire("s2")

        assert {"org": "a"} == world.active("u")

    @pytest.mark.parametrize(("age_days", "expected"), [(30, {"org": "a"}), (31, {})])
    def test_old_maps_are_forgotten(self, world, age_days, expected):
        """
        A map that is older than the setting answers nothing, by session and by id.
        """
        world.session("s", "u", NOW_MS - age_days * DAY_MS, org="a")

        assert expected == world.active("u")
        assert expected == world.active("u", "s")

    def test_merged_anonymous_id_lends_its_map(self, world):
        """
        A person without any map has the latest of the ids that were merged into it.
        """
        world.merge("anon1", "u")
        world.merge("anon2", "u")
        world.session("s1", "anon1", NOW_MS - 5, org="a")
        world.session("s2", "anon2", NOW_MS - 9, org="b")

        assert {"org": "a"} == world.active("u")

    def test_id_of_somebody_else_lends_nothing(self, world):
        """
        An anonymous id belongs to the first that it was merged into, whoever claims it later.
        """
        world.merge("anon", "u")
        world.merge("anon", "v")
        world.session("s1", "anon", org="a")

        assert {"org": "a"} == world.active("u")
        assert {} == world.active("v")

    def test_where_they_come_from(self, world):
        """
        What is remembered says of which id and session it is, and of when.
        """
        world.merge("anon", "u")
        world.session("s0", "anon", NOW_MS - 9, org="a")
        of_merged = world.state.remembered(1, "u", "unknown", NOW_MS)
        world.session("s1", "u", NOW_MS - 5, org="b")
        world.session("s2", "u", NOW_MS - 1, org="c")

        assert Remembered({"org": "a"}, NOW_MS - 9, "anon", "s0") == of_merged
        assert Remembered({"org": "c"}, NOW_MS - 1, "u", "s2") == world.state.remembered(
            1, "u", None, NOW_MS
        )
        assert Remembered({"org": "b"}, NOW_MS - 5, "u", "s1") == world.state.remembered(
            1, "u", "s1", NOW_MS
        )
        assert world.state.remembered(1, "v", "s1", NOW_MS) is None


class TestSessionGroups:
    def test_says_what_need_not_be_written_again(self, world):
        """
        The map of a session that is also what its id remembers.
        """
        world.session("s", "u", org="a")

        assert {"org": "a"} == world.state.session_groups(1, "s", "u")

    @pytest.mark.parametrize("session", ["s", "unknown"])
    def test_none_where_an_update_counts(self, world, session):
        """
        None where the session is unknown, or another one has moved the id elsewhere since.
        """
        world.session("s", "u", NOW_MS - 5, org="a")
        world.session("s2", "u", NOW_MS - 1, org="b")

        assert world.state.session_groups(1, session, "u") is None
        assert world.state.session_groups(1, "s", "v") is None

    @pytest.mark.parametrize(("age_days", "is_known"), [(15, True), (16, False)])
    def test_none_when_due_to_be_renewed(self, world, age_days, is_known):
        """
        A map that has passed half of its time is to be written again, or it would be forgotten.
        """
        world.session("s", "u", NOW_MS - age_days * DAY_MS, org="a")

        assert is_known is (world.state.session_groups(1, "s", "u") is not None)


class TestPersons:
    def test_unknown(self, world):
        """
        Nothing is known of an id without updates.
        """
        assert world.state.person(1, "u") is None

    def test_all_ids_of_a_person_answer_alike(self, world):
        """
        A chain of merges ends in one person whose own properties go first.
        """
        world.person("a", set={"plan": "free", "city": "Oslo"}, uuid="x")
        world.merge("a", "b")
        world.person("b", set={"plan": "gold"}, uuid="y")
        world.merge("b", "c")
        world.person("c", set={"seats": 3}, uuid="z")

        person = world.state.person(1, "c")

        assert {"plan": "gold", "city": "Oslo", "seats": 3} == person.properties
        assert ("c", True, {"z"}) == (person.distinct_id, person.is_identified, set(person.recent))
        assert person == world.state.person(1, "a") == world.state.person(1, "b")

    def test_which_write_counts(self, world):
        """
        Of each property is known which id's write it comes from.
        """
        world.person("a", set={"plan": "free", "city": "Oslo"})
        world.merge("a", "b")
        world.person("b", set={"plan": "gold"})

        writes = [world.state.person_write(1, "a", name) for name in ("plan", "city", "none")]

        assert [PropertyWrite("b", 4), PropertyWrite("a", 1), None] == writes
        assert world.state.person_write(1, "unknown", "plan") is None

    def test_half_a_merge(self, world):
        """
        An id is already its new person's when nothing of that one is known yet, and keeps its own.
        """
        world.person("a", set={"plan": "free"})
        world.person("a", into="b")
        person = world.state.person(1, "a")

        assert ("b", {"plan": "free"}) == (person.distinct_id, person.properties)

    def test_unset_stays_unset(self, world):
        """
        A property that the person unset does not come back from a merged id.
        """
        world.person("a", set={"plan": "free"})
        world.merge("a", "b")
        world.person("b", unset=["plan"])

        assert {} == world.state.person(1, "b").properties

    def test_hash_keys_of_the_root_go_first(self, world):
        """
        A person stays bucketed by its own hash keys, then by those of the id merged in first.
        """
        world.person("late", hash_keys={"a": "late", "b": "late", "c": "late"})
        world.person("early", hash_keys={"a": "early", "b": "early"})
        world.merge("early", "u")
        world.merge("late", "u")
        world.person("u", hash_keys={"a": "own"})

        person = world.state.person(1, "late")

        assert {"a": "own", "b": "early", "c": "late"} == person.hash_keys

    def test_first_hash_key_stays(self, world):
        """
        A later hash key of a flag changes no answer, whichever id it comes by.
        """
        world.person("u", hash_keys={"a": "first"})
        world.person("u", hash_keys={"a": "second"})
        world.person("anon", hash_keys={"a": "third"})
        world.merge("anon", "u")

        assert {"a": "first"} == world.state.person(1, "u").hash_keys

    def test_hash_keys_of_nobody(self, world):
        """
        A person of whom none was stored has none.
        """
        world.person("u", set={"plan": "free"})

        assert {} == world.state.person(1, "u").hash_keys

    def test_distinct_ids(self, world):
        """
        The ids of a person are listed from the root on, those merged in earlier first.
        """
        world.person("u", set={"plan": "free"})
        assert ("u",) == world.state.person(1, "u").distinct_ids

        world.merge("z", "y")
        world.merge("y", "u")
        world.merge("a", "u")

        assert ("u", "y", "a", "z") == world.state.person(1, "z").distinct_ids

    def test_ids_of_half_a_merge(self, world):
        """
        Where nothing is known of the root yet, it is listed before the ids that lead to it.
        """
        world.merge("a", "b")
        world.person("b", into="c", hash_keys={"f": "own"})
        world.person("a", hash_keys={"g": "merged"})

        person = world.state.person(1, "a")

        assert ("c", "b", "a") == person.distinct_ids
        assert {"f": "own", "g": "merged"} == person.hash_keys
        assert person == world.state.person(1, "b")

    def test_what_has_not_changed_is_the_same_object(self, world):
        """
        Whoever keeps what follows from a person can tell by it, merged or not.
        """
        world.person("a", set={"plan": "free"})
        alone = world.state.person(1, "a")
        assert alone is world.state.person(1, "a")

        world.merge("a", "b")
        merged = world.state.person(1, "b")
        assert merged is not alone
        assert merged is world.state.person(1, "a")

        world.person("a", set={"city": "Oslo"})
        assert {"plan": "free", "city": "Oslo"} == world.state.person(1, "b").properties

    @settings(deadline=None)
    @given(
        steps=st.lists(
            st.tuples(
                st.sampled_from(["set", "unset", "merge", "firm", "into", "merged", "hash"]),
                st.sampled_from("abcd"),
                st.sampled_from("abcd"),
            ),
            max_size=20,
        )
    )
    def test_reading_before_changes_nothing(self, tmp_path_factory, steps):
        """
        A person reads as it does to somebody who has read nothing before.
        """
        store = ViewStore(tmp_path_factory.mktemp("views"))
        world = World(store)
        for step, one, other in steps:
            change_person(world, step, one, other)
            fresh = World(store)
            for each in "abcd":
                assert fresh.state.person(1, each) == world.state.person(1, each)
        store.close()

    def test_a_firm_merge_that_came_too_late(self, world):
        """
        An id that another node had merged already still makes one person of both that wanted it,
        the very same object from any of their ids until something changes.
        """
        world.person("b", set={"plan": "free", "city": "Oslo"})
        world.merge("a", "c")
        world.person("c", set={"plan": "gold"})
        world.merge("a", "b", is_firm=True)

        person = world.state.person(1, "b")
        assert ("c", ("c", "a", "b")) == (person.distinct_id, person.distinct_ids)
        assert {"plan": "gold", "city": "Oslo"} == person.properties
        assert all(person is world.state.person(1, each) for each in "abc")

        world.person("b", set={"city": "Bergen"})
        assert "Bergen" == world.state.person(1, "a").properties["city"]

    def test_circle_ends(self, world):
        """
        Two merges that crossed give one person, from whichever id it is read.
        """
        world.merge("a", "b")
        world.merge("b", "a")
        world.person("b", set={"plan": "free"})

        assert {"plan": "free"} == world.state.person(1, "a").properties
        assert world.state.person(1, "a") == world.state.person(1, "b")

    def test_long_chain_is_bounded(self, world):
        """
        A chain of any length is read in a bounded number of steps.
        """
        for number in range(100):
            world.merge(f"{number}", f"{number + 1}")

        assert "64" == world.state.person(1, "0").distinct_id
        assert "100" == world.state.person(1, "50").distinct_id

    def test_many_merged_ids_are_bounded(self, world):
        """
        A person of very many ids answers with the first of them.
        """
        for number in range(80):
            world.person(f"{number}", set={f"p{number}": 1})
            world.merge(f"{number}", "u")

        person = world.state.person(1, "u")

        assert 63 == len(person.properties)
        assert ("u", *map(str, range(63))) == person.distinct_ids


class TestCache:
    def test_bounded_by_number_and_size(self):
        """
        The oldest objects go; a large one takes the place of several.
        """
        cache = ObjectCache(3)
        for name in (b"a", b"b", b"c"):
            cache.put(name, name, 10)
        cache.put(b"d", None, 1_500)

        assert [MISSING, MISSING, b"c", None] == [
            cache.get(name) for name in (b"a", b"b", b"c", b"d")
        ]

    def test_dropping_makes_room(self):
        """
        What was dropped or replaced no longer counts.
        """
        cache = ObjectCache(2)
        for _ in range(9):
            cache.put(b"a", 1, 10)
        cache.put(b"b", 2, 10)
        cache.drop(b"b")
        cache.drop(b"b")
        cache.put(b"c", 3, 10)

        assert [1, MISSING, 3] == [cache.get(name) for name in (b"a", b"b", b"c")]


class TestPersonPages:
    def list(self, world, part="", after=None, limit=10):
        found = world.state.persons(1, search=Search(part, ["email"]), after=after, limit=limit)
        return [person.distinct_id for person in found.persons], found.after

    def test_each_person_once(self, world):
        """
        Persons are listed by the id that stays, with what was merged into it; a circle of merges is
        one person.
        """
        world.person("user", set={"email": "a@example.org"})
        world.person("anon", set={"n": 1})
        world.merge("anon", "user")
        world.person("x", into="y")
        world.person("y", into="x")

        assert (["user", "x"], None) == self.list(world)
        assert (["user"], None) == self.list(world, "ANON")
        assert (["user"], None) == self.list(world, "EXAMPLE")
        assert ([], None) == self.list(world, "nobody")

    def test_pages(self, world):
        """
        Pages follow each other.
        """
        for number in range(5):
            world.person(f"user-{number}")

        first, after = self.list(world, limit=2)
        second, last = self.list(world, after=after, limit=9)

        assert [f"user-{number}" for number in range(5)] == first + second
        assert last is None

    def test_one_call_is_bounded(self, world):
        """
        Who looks for nobody among many is told where to go on.
        """
        value = REDUCERS[Table.PERSONS].fold(None, PersonUpdate(time_ms=1).to_bytes(), 1)
        world.store.write({b"p" + record_key(1, f"{n:04}"): value for n in range(700)}, {})

        assert ([], "0499") == self.list(world, "nobody")
        assert ([], None) == self.list(world, "nobody", after="0499")


class TestHistory:
    def test_in_the_order_of_the_changes(self, world):
        """
        A definition's changes are read oldest first, and no other's among them.
        """
        for change_id in ("018f-2", "018f-1", "018f-3"):
            world.change(change_id, n=change_id)
        world.change("018f-0", name="beta-2")
        world.change("018f-0", kind="cohort")

        history = world.state.history(1, Kind.FLAG, "beta")

        assert ["018f-1", "018f-2", "018f-3"] == [change.id for change in history]
        assert {"n": "018f-1"} == history[0].state.body
        assert [] == world.state.history(2, Kind.FLAG, "beta")

    def test_never_changes(self, world):
        """
        What was heard of first stays.
        """
        world.change("018f-1", n=1)
        world.change("018f-1", n=2)

        (change,) = world.state.history(1, Kind.FLAG, "beta")
        assert {"n": 1} == change.state.body
