"""The laws of state: replay, order and ownership change nothing (L2, L3, L5)."""

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstream.state import registers
from flagstream.state.definitions import DefinitionUpdate
from flagstream.state.group_types import GroupTypeClaim
from flagstream.state.groups import GroupUpdate, fold_group, group_reader
from flagstream.state.history import DefinitionChange
from flagstream.state.merge import REDUCERS
from flagstream.state.persons import PersonUpdate
from flagstream.state.registers import register_of
from flagstream.state.sessions import SessionUpdate
from flagstream.topics import Table

NAMES = st.sampled_from(["plan", "seats", "name"])
VALUES = st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.sampled_from(["gold", "free"]))
PROPERTIES = st.dictionaries(NAMES, VALUES, max_size=3)
UNSET = st.lists(NAMES, max_size=2, unique=True)
TIMES = st.integers(0, 9)
UUIDS = st.sampled_from("abcdefghijklmnopqrstuvwxyz")
IDS = st.sampled_from(["u1", "u2", "anon"])

UPDATES = {
    Table.GROUP_TYPES: st.builds(
        GroupTypeClaim, group_type=st.sampled_from("abcdefgh"), time_ms=TIMES
    ),
    Table.GROUPS: st.builds(
        GroupUpdate, time_ms=TIMES, uuid=UUIDS, set=PROPERTIES, set_once=PROPERTIES, unset=UNSET
    ),
    Table.SESSIONS: st.builds(
        SessionUpdate,
        time_ms=TIMES,
        distinct_id=IDS,
        groups=st.dictionaries(st.sampled_from(["org", "project"]), st.sampled_from("xyz")),
    ),
    Table.PERSONS: st.builds(
        PersonUpdate,
        time_ms=TIMES,
        uuid=UUIDS,
        set=PROPERTIES,
        set_once=PROPERTIES,
        unset=UNSET,
        into=st.none() | IDS,
        merged=st.none() | IDS,
        is_firm=st.booleans(),
        is_identified=st.booleans(),
        hash_keys=st.dictionaries(st.sampled_from(["beta", "checkout"]), IDS),
    ),
    Table.DEFINITIONS: st.builds(DefinitionUpdate, time_ms=TIMES, body=PROPERTIES),
    Table.HISTORY: st.builds(
        DefinitionChange, time_ms=TIMES, author=st.sampled_from("ab"), body=PROPERTIES
    ),
}
JOINED_PER_PART = [table for table in Table if table is not Table.GROUP_TYPES]
tables = pytest.mark.parametrize("table", list(Table))


def fold(table, log, state=None):
    """Fold ``(offset, update)`` pairs, as an agent does."""
    return reduce(
        lambda before, entry: REDUCERS[table].fold(before, entry[1].to_bytes(), entry[0]),
        log,
        state,
    )


def logs(table, **sizes):
    return st.lists(UPDATES[table], min_size=1, max_size=30).map(lambda log: list(enumerate(log)))


class TestReplay:
    @tables
    @given(data=st.data())
    def test_any_suffix_again_changes_nothing(self, table, data):
        """
        Folding any suffix of the log a second time ends in the same state, byte for byte.
        """
        log = data.draw(logs(table))
        start = data.draw(st.integers(0, len(log)))

        state = fold(table, log)

        assert state == fold(table, log[start:], state)

    @tables
    @given(data=st.data())
    def test_what_is_already_folded_gives_the_very_same_state(self, table, data):
        """
        A fold that changes nothing returns its argument, so that nothing is written.
        """
        log = data.draw(logs(table))
        again = data.draw(st.sampled_from(log))
        state = fold(table, log)

        replayed = REDUCERS[table].fold(state, again[1].to_bytes(), again[0])

        assert replayed is state

    @pytest.mark.parametrize("table", JOINED_PER_PART)
    @given(data=st.data())
    def test_owners_with_older_bases_join_to_the_fold(self, table, data):
        """
        Two owners that folded overlapping stretches from different bases, in either order of
        joining, agree with the one who folded everything.
        """
        log = data.draw(logs(table))
        middle = data.draw(st.integers(0, len(log)))
        overlap = data.draw(st.integers(0, middle))

        first, second = fold(table, log[:middle]), fold(table, log[overlap:])

        states = [state for state in (first, second) if state is not None]
        whole = fold(table, log)
        assert whole == reduce(REDUCERS[table].join, states, None)
        assert whole == reduce(REDUCERS[table].join, reversed(states), None)

    @pytest.mark.parametrize("table", JOINED_PER_PART)
    @given(data=st.data())
    def test_the_order_of_owners_does_not_matter(self, table, data):
        """
        However the log is dealt out to owners and in whatever order they fold and join, the state
        is the fold of the whole log.
        """
        log = data.draw(logs(table))
        shuffled = data.draw(st.permutations(log))

        assert fold(table, log) == fold(table, shuffled)


class TestJoin:
    @tables
    @given(data=st.data())
    def test_joining_a_prefix_changes_nothing(self, table, data):
        """
        A record of an owner that is behind changes nothing, whichever comes first.
        """
        log = data.draw(logs(table))
        behind = fold(table, log[: data.draw(st.integers(1, len(log)))])
        state = fold(table, log)

        assert state == REDUCERS[table].join(state, behind)
        assert state == REDUCERS[table].join(behind, state)


class TestGroupTypes:
    @given(log=logs(Table.GROUP_TYPES))
    def test_an_index_is_given_once_and_never_changes(self, log):
        """
        L3: at most five types, indexes in order of first sight, later claims move none of them.
        """
        reducer = REDUCERS[Table.GROUP_TYPES]
        first_sights = list(dict.fromkeys(claim.group_type for _, claim in log))

        types = reducer.state.from_bytes(fold(Table.GROUP_TYPES, log)).types

        assert first_sights[:5] == [given.group_type for given in types]
        assert list(range(len(types))) == [given.index for given in types]

    @given(log=logs(Table.GROUP_TYPES))
    def test_a_sixth_type_is_refused_and_named(self, log):
        """
        L3: every type beyond five is listed among the refused, none of them got an index.
        """
        reducer = REDUCERS[Table.GROUP_TYPES]
        first_sights = list(dict.fromkeys(claim.group_type for _, claim in log))

        state = reducer.state.from_bytes(fold(Table.GROUP_TYPES, log))

        assert set(first_sights[5:]) == set(state.refused)


class TestPersons:
    @given(log=logs(Table.PERSONS), data=st.data())
    def test_the_first_hash_key_of_each_flag_stands(self, log, data):
        """
        Per flag the hash key stays that came first in the log, in whatever order it is folded.
        """
        first = {}
        for _, update in log:
            first = {**update.hash_keys, **first}

        folded = fold(Table.PERSONS, data.draw(st.permutations(log)))

        state = REDUCERS[Table.PERSONS].state.from_bytes(folded)
        assert first == {key: register.value for key, register in state.hash_keys.items()}


class TestSessions:
    @given(log=logs(Table.SESSIONS))
    def test_the_latest_map_of_each_id_stands(self, log):
        """
        L2: per distinct id the map with the latest event time, ties by ingestion, one key a type.
        """
        latest = {}
        for offset, update in log:
            known = latest.get(update.distinct_id)
            if known is None or (update.time_ms, offset) > known[0]:
                latest[update.distinct_id] = ((update.time_ms, offset), update.groups)

        state = REDUCERS[Table.SESSIONS].state.from_bytes(fold(Table.SESSIONS, log))

        assert {distinct_id: groups for distinct_id, (_, groups) in latest.items()} == {
            distinct_id: active.groups for distinct_id, active in state.maps.items()
        }


class TestRegisters:
    @pytest.mark.parametrize("names", [["plan", "seats", "x"], [], ['a"b', "plan"]])
    @given(updates=st.lists(UPDATES[Table.GROUPS], min_size=1, max_size=6))
    def test_some_are_read_as_all_are(self, names, updates):
        """
        Who reads some properties of a group finds of these what all of them say.
        """
        state = None
        for version, update in enumerate(updates):
            state = fold_group(state, update, version)

        some, every = group_reader(names)(state.to_bytes()), state.values()

        absent = object()
        assert [some.get(name, absent) for name in names] == [
            every.get(name, absent) for name in names
        ]

    @given(updates=st.lists(UPDATES[Table.GROUPS], max_size=6))
    def test_each_value_has_its_register(self, updates):
        """
        Of every property that is set the write is known that counts, and of no other.
        """
        state = None
        for version, update in enumerate(updates):
            state = fold_group(state, update, version)
        properties, once = ({}, {}) if state is None else (state.properties, state.once)
        found = {
            name: register_of(name, properties, once) for name in ("plan", "seats", "name", "x")
        }

        assert registers.values(properties, once) == {
            name: register.value for name, register in found.items() if register is not None
        }
