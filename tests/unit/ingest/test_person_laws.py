"""What must hold of persons whatever is said of them, whenever and wherever it becomes visible."""

import asyncio
from dataclasses import dataclass, field
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from flagstream.topics import Topic, key_parts
from tests.fakes.capture import (
    PROJECT_ID,
    Capturing,
    alias,
    change_person,
    event,
    identify,
    merge_dangerously,
)
from tests.fakes.sink import PARTITIONS, FoldedLog

IDS = ["a", "b", "c", "d", "e"]
ID = st.sampled_from(IDS)
SET = st.dictionaries(st.sampled_from("xyz"), st.integers(1, 3), max_size=2)
# Never of a name that is unset: whether a first value counts again depends on what a view hides.
ONCE = st.dictionaries(st.sampled_from("xy"), st.integers(4, 6), max_size=2)
UNSET = st.lists(st.just("z"), max_size=1)
CHANGES = st.fixed_dictionaries({}, optional={"set": SET, "set_once": ONCE, "unset": UNSET})
ADDITIONS = st.fixed_dictionaries({}, optional={"set": SET, "set_once": ONCE})
LATE = st.integers(0, 1_000)
MERGES = [identify, alias, merge_dangerously]
FOLDS = st.tuples(st.integers(0, 6), st.none() | st.integers(0, PARTITIONS - 1))


def events(changes):
    """Draw events that may carry some changes."""
    merges = st.builds(
        lambda make, one, other, members: make(one, other, **members),
        st.sampled_from(MERGES),
        ID,
        ID,
        changes,
    )
    changed = st.builds(lambda each, members: change_person(each, **members), ID, changes)
    return merges | changed | st.builds(lambda each: event(distinct_id=each), ID)


@dataclass
class Individual:
    """A person as PostHog keeps it."""

    root: str
    properties: dict = field(default_factory=dict)
    is_identified: bool = False


class Sequential:
    """Persons as if everything were said to one server, one after the other."""

    def __init__(self):
        self.people = {}

    def person(self, distinct_id):
        return self.people.setdefault(distinct_id, Individual(distinct_id))

    def say(self, said):
        properties = said.get("properties", {})
        person = self.person(said["distinct_id"])
        match said["event"]:
            case "$identify":
                person.is_identified = person.is_identified or (
                    properties["$anon_distinct_id"] != said["distinct_id"]
                )
                self.merge(said["distinct_id"], properties["$anon_distinct_id"])
            case "$create_alias":
                other = self.people.get(properties["alias"])
                if other is not None and other.is_identified and not person.is_identified:
                    self.merge(properties["alias"], said["distinct_id"])
                else:
                    self.merge(said["distinct_id"], properties["alias"])
            case "$merge_dangerously":
                self.merge(said["distinct_id"], properties["alias"], is_forced=True)
        person = self.person(said["distinct_id"])
        person.properties.update(properties.get("$set", {}))
        person.properties = {**properties.get("$set_once", {}), **person.properties}
        for name in properties.get("$unset", ()):
            person.properties.pop(name, None)

    def merge(self, into_id, other_id, *, is_forced=False):
        into, other = self.person(into_id), self.people.get(other_id, Individual(other_id))
        if into is other or (other.is_identified and not is_forced):
            return
        into.properties = {**other.properties, **into.properties}
        into.is_identified = True
        self.people.update(
            {each: into for each, person in self.people.items() if person is other}
            | {other_id: into}
        )


def told(log):
    """Read all that answers could come from, by id."""
    found = {each: log.person(PROJECT_ID, each) for each in IDS}
    return {
        each: person and (person.distinct_id, person.properties, person.is_identified)
        for each, person in found.items()
    }


class TestOneNode:
    @given(
        steps=st.lists(
            st.tuples(st.lists(events(CHANGES), min_size=1, max_size=3), FOLDS), max_size=12
        )
    )
    def test_as_if_one_after_the_other(self, steps):
        """
        Whatever the views show when, persons become what they would if each event found
        everything done that was said before.
        """

        async def scenario():
            log, sequential = FoldedLog(), Sequential()
            capturing = Capturing(log)
            for request, (count, partition) in steps:
                await capturing.send(*request)
                for each in request:
                    sequential.say(each)
                log.fold(count, partition)
            log.fold()
            return log, sequential

        log, sequential = asyncio.run(scenario())
        expected = {each: sequential.people.get(each) for each in IDS}

        assert {
            each: person and (person.root, person.properties, person.is_identified)
            for each, person in expected.items()
        } == told(log)


class Nodes:
    """API nodes on one log, each with views of its own that lag as they like."""

    def __init__(self, count=2):
        first = FoldedLog()
        self.logs = [first, *(FoldedLog(first) for _ in range(count - 1))]
        self.capturing = [Capturing(log) for log in self.logs]

    def run(self, steps):
        """Send requests to nodes; let views follow in between."""
        asyncio.run(self._run(steps))
        for log in self.logs:
            log.fold()
        return self.logs[0]

    async def _run(self, steps):
        for node, request, folds in steps:
            await self.capturing[node].send(*request)
            for log, (count, partition) in zip(self.logs, folds, strict=True):
                log.fold(count, partition)


def steps_of(changes):
    return st.lists(
        st.tuples(
            st.integers(0, 1),
            st.lists(events(changes), min_size=1, max_size=2),
            st.tuples(FOLDS, FOLDS),
        ),
        max_size=12,
    )


def said_by_id(log):
    """Read what the log says of each id, in its order."""
    said = {}
    updates = [each for each in log.appended if each.topic is Topic.PERSON_UPDATES]
    for append, update in zip(updates, log.records(Topic.PERSON_UPDATES), strict=True):
        said.setdefault(key_parts(append.key)[1], []).append(update)
    return said


def components(said):
    """
    Find out which ids are linked: an id goes where the first merge of it in the log says; aliases
    that nothing stood in the way of, and merges that are forced, hold whatever came before.
    """
    of = {each: {each} for each in said}
    for each, updates in said.items():
        merges = [update for update in updates if update.into]
        for into in {update.into for update in merges if update.is_firm or update is merges[0]}:
            linked = of[each] | of.setdefault(into, {into})
            of.update(dict.fromkeys(linked, linked))
    return of


class TestManyNodes:
    @given(steps=steps_of(CHANGES))
    def test_linked_ids_are_one_person(self, steps):
        """
        All ids that merges link are one person, from whichever it is read, and no id is in two.
        """
        log = Nodes().run(steps)

        for each, ids in components(said_by_id(log)).items():
            person = log.person(PROJECT_ID, each)
            assert ids == set(person.distinct_ids)
            assert person.distinct_id in ids
            assert all(person == log.person(PROJECT_ID, other) for other in ids)
            assert person.is_identified or len(ids) == 1

    @given(steps=steps_of(CHANGES), data=st.data())
    def test_replays_change_nothing(self, steps, data):
        """
        Folding any suffix of the log once more, or all of it at a node that is new, ends in the
        same persons.
        """
        nodes = Nodes()
        log = nodes.run(steps)
        before, late = told(log), FoldedLog(log)

        late.fold()
        log.fold_again(data.draw(st.integers(0, len(log.appended))))

        assert before == told(nodes.logs[1]) == told(late) == told(log)

    @given(steps=steps_of(CHANGES))
    def test_the_oldest_stays(self, steps):
        """
        A person is as old as the oldest of what was said of its ids.
        """
        log = Nodes().run(steps)
        said = said_by_id(log)

        for ids in components(said).values():
            times = [update.time_ms for each in ids for update in said.get(each, ())]
            (created_at_ms,) = {log.person(PROJECT_ID, each).created_at_ms for each in ids}
            assert min(times) == created_at_ms

    @given(steps=steps_of(ADDITIONS))
    def test_the_target_goes_first_and_nothing_is_lost(self, steps):
        """
        What was set of the id that stays is what the person has, and of all that was set of any
        of its ids there is a value.
        """
        log = Nodes().run(steps)
        said = said_by_id(log)

        for each, ids in components(said).items():
            person = log.person(PROJECT_ID, each)
            own = {}
            for update in said.get(person.distinct_id, ()):
                own.update(update.set)
            updates = [update for each in ids for update in said.get(each, ())]
            names = {name for update in updates for name in (*update.set, *update.set_once)}
            assert own.items() <= person.properties.items()
            assert names == person.properties.keys()


class TestTwoMerges:
    @given(
        makes=st.tuples(st.sampled_from(MERGES), st.sampled_from(MERGES)),
        is_crossed=st.booleans(),
        nodes=st.tuples(st.integers(0, 1), st.integers(0, 1)),
        folds=st.tuples(FOLDS, FOLDS),
    )
    def test_of_two_persons_end_in_one(self, makes, is_crossed, nodes, folds):
        """
        Two persons that are merged twice, at two nodes or at one, in one direction or in opposite
        ones, are one; in either order of the two merges.
        """
        first, second = makes
        merges = [first("a", "b"), second("b", "a") if is_crossed else second("a", "b")]
        requests = [(node, [merge], folds) for node, merge in zip(nodes, merges, strict=True)]

        for steps in (requests, requests[::-1]):
            log = Nodes().run(
                [(0, [change_person(each, set={each: 1})], (FOLDED, FOLDED)) for each in "ab"]
                + steps
            )
            assert log.person(PROJECT_ID, "a") == log.person(PROJECT_ID, "b")
            assert {"a": 1, "b": 1} == log.person(PROJECT_ID, "a").properties

    @given(data=st.data())
    def test_many_that_cross(self, data):
        """
        However many nodes merge persons in whatever circle, before any sees what the others do:
        they are one person.
        """
        pairs = data.draw(st.permutations(list(combinations(IDS, 2))))
        nodes = Nodes(len(pairs))
        unseen = [(0, None)] * len(pairs)
        log = nodes.run(
            (node, [merge_dangerously(*data.draw(st.permutations(pair)))], unseen)
            for node, pair in enumerate(pairs)
        )

        assert [set(IDS)] * len(IDS) == [
            set(log.person(PROJECT_ID, each).distinct_ids) for each in IDS
        ]
        assert 1 == len({log.person(PROJECT_ID, each).distinct_id for each in IDS})


FOLDED = (None, None)
