"""Examples of each fold."""

import pytest
from msgspec.structs import replace

from flagstream.errors import RecordError
from flagstream.state.group_types import MAX_REFUSED, MAX_TYPES, GroupTypeClaim, fold_group_type
from flagstream.state.groups import GroupState, GroupUpdate, fold_group
from flagstream.state.merge import REDUCERS
from flagstream.state.persons import PersonState, PersonUpdate, fold_person
from flagstream.state.registers import values
from flagstream.state.sessions import MAX_IDS, SessionUpdate, fold_session
from flagstream.state.uuids import RING_SIZE
from flagstream.topics import Table


def fold_all(fold, *updates):
    state = None
    for version, update in enumerate(updates):
        state = fold(state, update, version)
    return state


class TestGroup:
    def test_properties_that_are_not_mentioned_stay(self):
        """
        A later update overwrites what it names and leaves the rest; null is a value.
        """
        state = fold_all(
            fold_group,
            GroupUpdate(time_ms=1, set={"plan": "free", "seats": 3}),
            GroupUpdate(time_ms=2, set={"plan": None}),
        )

        assert {"plan": None, "seats": 3} == state.values()

    def test_deleted_property_is_gone_until_written_again(self):
        """
        A deletion hides the property, a later write brings it back.
        """
        deleted = fold_all(
            fold_group,
            GroupUpdate(time_ms=1, set={"plan": "gold"}),
            GroupUpdate(time_ms=2, unset=["plan"]),
        )

        assert {} == deleted.values()
        rewritten = fold_group(deleted, GroupUpdate(time_ms=3, set={"plan": "free"}), 9)
        assert {"plan": "free"} == rewritten.values()

    def test_set_once(self):
        """
        The first of several stays, and whatever is set otherwise goes before it.
        """
        state = fold_all(
            fold_group,
            GroupUpdate(time_ms=1, set={"plan": "free"}),
            GroupUpdate(time_ms=2, set_once={"plan": "gold", "since": 2020}),
            GroupUpdate(time_ms=3, set_once={"since": 2021}),
        )

        assert {"plan": "free", "since": 2020} == state.values()
        changed = fold_group(state, GroupUpdate(time_ms=4, set={"since": 1999}), 9)
        assert {"plan": "free", "since": 1999} == changed.values()

    def test_created_at_is_the_earliest_time(self):
        """
        An update of an older event moves the creation back.
        """
        state = fold_all(fold_group, GroupUpdate(time_ms=7), GroupUpdate(time_ms=3))

        assert 3 == state.created_at_ms

    def test_ring_keeps_the_newest_uuids(self):
        """
        The ring is bounded and drops the oldest.
        """
        updates = [GroupUpdate(time_ms=1, uuid=str(n)) for n in range(RING_SIZE + 5)]

        state = fold_all(fold_group, *updates)

        assert {str(n) for n in range(5, RING_SIZE + 5)} == set(state.recent)


class TestGroupTypes:
    def test_refused_types_are_bounded(self):
        """
        Of the types that were refused the first hundred are listed, however many there are.
        """
        claims = [
            GroupTypeClaim(group_type=str(number), time_ms=1)
            for number in range(MAX_TYPES + MAX_REFUSED + 1)
        ]

        state = fold_all(fold_group_type, *claims)

        refused = [claim.group_type for claim in claims[MAX_TYPES:-1]]
        assert refused == list(state.refused)


class TestSession:
    def test_leaving_all_groups_is_remembered(self):
        """
        An empty map replaces the one before it.
        """
        state = fold_all(
            fold_session,
            SessionUpdate(time_ms=1, distinct_id="u", groups={"organization": "org:1"}),
            SessionUpdate(time_ms=2, distinct_id="u", groups={}),
        )

        assert {} == state.maps["u"].groups

    def test_a_late_old_event_moves_nothing(self):
        """
        Order is the time of the event, not of its arrival.
        """
        state = fold_all(
            fold_session,
            SessionUpdate(time_ms=9, distinct_id="u", groups={"organization": "org:2"}),
            SessionUpdate(time_ms=1, distinct_id="u", groups={"organization": "org:1"}),
        )

        assert {"organization": "org:2"} == state.maps["u"].groups

    def test_the_next_user_of_a_session_has_a_map_of_its_own(self):
        """
        A browser that is handed over within a session shows nobody the other's organization.
        """
        state = fold_all(
            fold_session,
            SessionUpdate(time_ms=1, distinct_id="first", groups={"organization": "org:1"}),
            SessionUpdate(time_ms=2, distinct_id="next", groups={"organization": "org:2"}),
        )

        assert {"organization": "org:1"} == state.maps["first"].groups

    @pytest.mark.parametrize(("expiry_ms", "is_forgotten"), [(4, False), (5, True)])
    def test_expiry_spares_what_is_newer(self, expiry_ms, is_forgotten):
        """
        A session is forgotten only if nothing newer than the expiry is known.
        """
        state = fold_all(
            fold_session,
            SessionUpdate(time_ms=5, distinct_id="u", groups={"organization": "org:1"}),
            SessionUpdate(time_ms=expiry_ms, is_expiry=True),
        )

        assert is_forgotten is (state is None)

    def test_ids_of_a_session_are_bounded(self):
        """
        The latest ids stay.
        """
        updates = [SessionUpdate(time_ms=n, distinct_id=str(n)) for n in range(MAX_IDS + 3)]

        state = fold_all(fold_session, *updates)

        assert {str(n) for n in range(3, MAX_IDS + 3)} == set(state.maps)


class TestPerson:
    @pytest.mark.parametrize(
        ("updates", "expected"),
        [
            ([{"set_once": {"a": 1}}, {"set_once": {"a": 2}}], {"a": 1}),
            ([{"set_once": {"a": 1}}, {"set": {"a": 2}}], {"a": 2}),
            ([{"set": {"a": 1}}, {"set_once": {"a": 2}}], {"a": 1}),
            ([{"set": {"a": 1}}, {"unset": ["a"]}], {}),
            ([{"set": {"a": 1}}, {"unset": ["a"]}, {"set_once": {"a": 3}}], {"a": 3}),
        ],
    )
    def test_set_goes_before_set_once(self, updates, expected):
        """
        The first ``$set_once`` stays, any ``$set`` hides it, ``$unset`` removes what was before.
        """
        state = fold_all(fold_person, *(PersonUpdate(time_ms=1, **u) for u in updates))

        assert expected == state.values()

    def test_first_merge_stays(self):
        """
        An id that was merged into a person is not moved to another.
        """
        state = fold_all(
            fold_person, PersonUpdate(time_ms=1, into="u1"), PersonUpdate(time_ms=2, into="u2")
        )

        assert ("u1", 0) == state.into

    def test_first_hash_key_stays(self):
        """
        A hash key is not replaced by a later one of its flag; other flags get theirs.
        """
        state = fold_all(
            fold_person,
            PersonUpdate(time_ms=1, hash_keys={"beta": "anon-1"}),
            PersonUpdate(time_ms=2, hash_keys={"beta": "anon-2", "checkout": "anon-2"}),
        )

        assert {"beta": "anon-1", "checkout": "anon-2"} == values(state.hash_keys)

    def test_known_hash_key_changes_nothing(self):
        """
        A hash key that is there already gives a state that is equal but for its version.
        """
        update = PersonUpdate(time_ms=1, hash_keys={"beta": "anon-1"})
        state = fold_person(None, update, 1)

        assert replace(state, version=2) == fold_person(state, update, 2)

    def test_state_of_an_older_release(self):
        """
        A state that knows no hash keys is read without any, and is written as it was.
        """
        raw = b'{"version":0,"created_at_ms":1,"properties":{"a":[1,0,false]}}'

        state = PersonState.from_bytes(raw)

        assert ({}, raw) == (state.hash_keys, state.to_bytes())


class TestRecords:
    @pytest.mark.parametrize(
        ("raw", "named"),
        [
            (b"{", "GroupUpdate: Input data was truncated"),
            (b"\xff", "GroupUpdate"),
            (b'{"time_ms": "x"}', "Expected `int`, got `str` - at `$.time_ms`"),
            (b'{"set": {}}', "`time_ms`"),
            (b'{"time_ms": 1, "set": []}', "Expected `object`, got `array` - at `$.set`"),
        ],
    )
    def test_poison_is_named(self, raw, named):
        """
        A record that cannot be decoded raises an error that names the member and the expectation.
        """
        with pytest.raises(RecordError) as raised:
            REDUCERS[Table.GROUPS].fold(None, raw, 1)

        assert named in str(raised.value)

    def test_members_of_a_newer_release_are_ignored(self):
        """
        A record with members that this release does not know can be read.
        """
        state = GroupState.from_bytes(b'{"version": 1, "created_at_ms": 2, "added_later": 3}')

        assert GroupState(version=1, created_at_ms=2) == state

    @pytest.mark.parametrize(
        "key", [None, b"", b"[", b"1", b"{}", b"[1]", b'["1","organization","a"]', b'[1,"a",2]']
    )
    def test_a_key_of_another_shape_is_refused(self, key):
        """
        A key that is not one of the table is named with what was expected.
        """
        with pytest.raises(RecordError, match="key: expected \\['int', 'str', 'str'\\], got"):
            REDUCERS[Table.GROUPS].check_key(key)

    def test_a_key_of_the_table_passes(self):
        """
        The key that producers make is accepted.
        """
        assert REDUCERS[Table.GROUPS].check_key(b'[1,"organization","acme"]') is None
