"""Whom a flag is on for, among many that are stored."""

from flagstream.census import MAX_EXAMINED, reach
from flagstream.flags import Definitions, finished, parse_flag
from flagstream.state.merge import REDUCERS
from flagstream.state.persons import PersonUpdate
from flagstream.topics import Table, record_key
from tests.projects import project_of

GOLD = {"key": "plan", "operator": "exact", "value": "gold"}
PROJECT = project_of(Definitions(group_types={"company": 0}))


def flag(index, kind):
    about = {"aggregation_group_type_index": index}
    filters = {"groups": [{"properties": [{**GOLD, "type": kind}]}], **about}
    return parse_flag({"key": "f", "filters": filters})


def write_persons(store, **updates):
    fold = REDUCERS[Table.PERSONS].fold
    states = {
        b"p" + record_key(1, distinct_id): fold(
            None, PersonUpdate(time_ms=1, **update).to_bytes(), 1
        )
        for distinct_id, update in updates.items()
    }
    store.write(states, {})


class TestReach:
    def test_as_far_as_the_bound(self, view, write_groups):
        """
        Groups are counted up to a bound, in short steps, and the answer says that there are others.
        """
        write_groups("company", MAX_EXAMINED + 1, plan="gold")

        found = finished(reach(view, 1, PROJECT, flag(0, "group"), 0))

        assert (MAX_EXAMINED, MAX_EXAMINED, False) == found
        assert len(list(reach(view, 1, PROJECT, flag(0, "group"), 0))) >= MAX_EXAMINED // 20 - 1

    def test_each_person_once(self, view, store):
        """
        A person counts once, with what is known of all its ids.
        """
        write_persons(
            store,
            anon={"into": "user", "set": {"plan": "gold"}},
            user={"merged": "anon"},
            other={"set": {"plan": "free"}},
        )

        assert (1, 2, True) == finished(reach(view, 1, PROJECT, flag(None, "person"), 0))
