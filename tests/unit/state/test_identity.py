"""Which ids are one person, and what it has."""

from itertools import count

import pytest

from flagstream.state.identity import identity_of, joined_hash_keys, joined_properties
from flagstream.state.persons import PersonUpdate, fold_person


class People:
    """The states of distinct ids, folded as a test says."""

    def __init__(self):
        self.states = {}
        self._versions = count(1)

    def say(self, distinct_id, **update):
        state, version = self.states.get(distinct_id), next(self._versions)
        self.states[distinct_id] = fold_person(state, PersonUpdate(time_ms=1, **update), version)

    def merge(self, other, into, *, is_firm=False, **update):
        """Merge two persons, as a node does that sees nothing of what others do."""
        self.say(other, into=into, is_firm=is_firm)
        self.say(into, merged=other, is_firm=is_firm, **update)

    def identity(self, distinct_id):
        return identity_of(distinct_id, self.states.get)

    def ids(self, distinct_id):
        """Read the root, and all ids in the order in which they count."""
        identity = self.identity(distinct_id)
        return identity.root, [each for tree in identity.trees for each in tree]

    def properties(self, distinct_id):
        return joined_properties(self.identity(distinct_id))


@pytest.fixture
def people():
    return People()


class TestIds:
    def test_nobody(self, people):
        """
        Nothing is known of an id without updates.
        """
        assert people.identity("a") is None

    def test_tree(self, people):
        """
        All ids that were merged into one, directly or not, are one person, from any of them.
        """
        people.merge("a", "b")
        people.merge("c", "a")
        people.merge("d", "b")

        assert [("b", ["b", "a", "d", "c"])] * 4 == [people.ids(each) for each in "abcd"]

    def test_first_merge_counts(self, people):
        """
        Who was merged into two belongs to the first; the other one stays who it was.
        """
        people.merge("a", "b")
        people.merge("a", "c")

        assert ("b", ["b", "a"]) == people.ids("a")
        assert ("c", ["c"]) == people.ids("c")

    def test_firm_merge_holds(self, people):
        """
        A firm merge that came too late for its id makes one person all the same; who was there
        first goes before.
        """
        people.merge("x", "z")
        people.merge("x", "b", is_firm=True)
        people.merge("y", "b")

        assert [("z", ["z", "x", "b", "y"])] * 4 == [people.ids(each) for each in "bxyz"]

    def test_firm_merges_that_were_both_too_late(self, people):
        """
        Where two merges were too late for one another, one of the persons goes before.
        """
        people.merge("x", "d")
        people.merge("y", "c")
        people.merge("x", "c", is_firm=True)
        people.merge("y", "d", is_firm=True)

        assert [("c", ["c", "y", "d", "x"])] * 4 == [people.ids(each) for each in "cdxy"]

    def test_half_of_a_firm_merge(self, people):
        """
        A firm merge of which only one half is known is not taken for one that came too late.
        """
        people.say("a")
        people.say("b", merged="a", is_firm=True)

        assert ("b", ["b"]) == people.ids("b")
        assert ("a", ["a"]) == people.ids("a")

    def test_half_of_a_merge(self, people):
        """
        An id is its new person's already while nothing of that one is known.
        """
        people.say("a", into="b")

        assert ("b", ["a"]) == people.ids("a")
        assert ("b", "a") == people.identity("a").distinct_ids()

    def test_circle(self, people):
        """
        Merges in a circle make one person, from any id of it or merged into it.
        """
        for other, into in [("b", "c"), ("c", "a"), ("a", "b"), ("d", "c")]:
            people.merge(other, into)

        assert [("a", ["a", "c", "b", "d"])] * 4 == [people.ids(each) for each in "abcd"]

    def test_bounded(self, people):
        """
        Of a person of very many ids the first are read, by whatever they are held together.
        """
        for number in range(100):
            people.merge(f"{number:02}", "u", is_firm=True)
            people.merge(f"{number:02}", f"late-{number:02}", is_firm=True)

        _, ids = people.ids("u")
        assert 64 + 7 == len(ids)
        assert ["u", "00", "01"] == ids[:3]


class TestProperties:
    @pytest.mark.parametrize(
        ("before", "coming", "after", "expected"),
        [
            ({}, {}, {}, 1),
            ({"set": {"p": 2}}, {}, {}, 2),
            ({"set_once": {"p": 2}}, {}, {}, 2),
            ({"unset": ["p"]}, {}, {}, 1),
            ({}, {"set": {"p": 2}}, {}, 2),
            ({}, {"set_once": {"p": 2}}, {}, 1),
            ({}, {"unset": ["p"]}, {}, None),
            ({}, {}, {"set": {"p": 2}}, 2),
            ({}, {}, {"set_once": {"p": 2}}, 1),
            ({}, {}, {"unset": ["p"]}, None),
            ({"set": {"p": 2}}, {}, {"unset": ["p"]}, None),
            ({"set_once": {"p": 2}}, {}, {"unset": ["p"]}, None),
            ({"unset": ["p"]}, {"set_once": {"p": 2}}, {}, 1),
        ],
    )
    def test_a_merge_sets_once(self, people, before, coming, after, expected):
        """
        What the merged person has counts like a first value of that moment: it gives way to what
        was there and to what is set later, and is taken away by what removes it later.
        """
        people.say("b", **before)
        people.say("a", set={"p": 1})
        people.merge("a", "b", **coming)
        people.say("b", **after)

        assert expected == people.properties("a").get("p")

    def test_removed_before_one_merge_and_after_another(self, people):
        """
        A removal takes away what was merged before it, and nothing of what was merged later.
        """
        people.say("a", set={"p": 1})
        people.say("b", set={"p": 2})
        people.merge("a", "u")
        people.say("u", unset=["p"])
        people.merge("b", "u")

        assert {"p": 2} == people.properties("u")

    def test_the_first_of_two_merges(self, people):
        """
        What was merged earlier goes before what was merged later, and both before a later first
        value.
        """
        people.say("y", set={"p": 1})
        people.say("x", set={"p": 2, "q": 2})
        people.merge("y", "u")
        people.merge("x", "u")
        people.say("u", set_once={"p": 3, "q": 3, "r": 3})

        assert {"p": 1, "q": 2, "r": 3} == people.properties("u")

    def test_through_a_chain(self, people):
        """
        What an id removed of its own stays removed wherever it is merged into.
        """
        people.say("a", set={"p": 1, "q": 1})
        people.merge("a", "b", unset=["p"])
        people.merge("b", "c", set={"q": 3})

        assert {"q": 3} == people.properties("a")

    def test_of_firm_merges(self, people):
        """
        Who was there first goes before, and loses nothing that it removed.
        """
        people.merge("x", "b", set={"p": 1})
        people.merge("x", "a", is_firm=True, set={"p": 2, "q": 2})

        assert {"p": 1, "q": 2} == people.properties("a")

    def test_hash_keys(self, people):
        """
        An id's own hash keys go before those of the ids that were merged into it.
        """
        people.say("a", hash_keys={"f": "a", "g": "a"})
        people.say("b", hash_keys={"f": "b"})
        people.merge("a", "b")

        assert {"f": "b", "g": "a"} == joined_hash_keys(people.identity("a"))
