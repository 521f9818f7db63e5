"""Each invariant of the chaos test finds what violates it, and nothing else does."""

from dataclasses import replace

import pytest

from flagstream.ports import LogRecord
from flagstream.state.groups import GroupState, GroupUpdate, fold_group
from flagstream.topics import Table, record_key
from flagstream.transport.store import Copy
from tests.chaos.invariants import INVARIANTS, Change, Held, Rest

KEY = record_key(1, "company", "acme")
CHANGES = [Change("acme", "plan", 1), Change("acme", "seats", 2), Change("acme", "plan", 3)]


def record(topic, offset, value):
    return LogRecord(topic, 0, offset, 0, KEY, value)


def states():
    """The state after each of the changes, whose offsets are their places."""
    state, found = None, []
    for offset, change in enumerate(CHANGES):
        state = fold_group(state, update(change), offset)
        found.append(state.to_bytes())
    return found


def update(change):
    return GroupUpdate(time_ms=1, set={change.name: change.number})


STATES = states()
SOURCE = [
    record(Table.GROUPS.source, offset, update(change).to_bytes())
    for offset, change in enumerate(CHANGES)
]
CHANGELOG = [record(Table.GROUPS.changelog, offset, state) for offset, state in enumerate(STATES)]


def held(now, before=None):
    copies = [[Copy("the view", {0: 3}, {KEY: state})] for state in (now, before or now)]
    return {"api-0": Held(*copies)}


def without_offset(offset):
    return [each for each in CHANGELOG if each.offset != offset]


def last_without(name):
    """A changelog whose last state lacks a property, and all earlier ones as well."""
    state = GroupState.from_bytes(STATES[-1])
    state = GroupState(version=2, created_at_ms=1, properties=dict(state.properties))
    del state.properties[name]
    return [record(Table.GROUPS.changelog, 0, state.to_bytes())]


GOOD = Rest(
    source=SOURCE,
    changelog=CHANGELOG,
    is_compacted=False,
    acknowledged=CHANGES,
    seen={"api-0": CHANGES},
    commits={0: {1: 1, 3: 3}},
    went_back=[],
    backlog={0: 0, 1: 0},
    pauses_s={"worker_killed": 12.0},
    held=held(STATES[2], STATES[1]),
    verified={},
)
# By invariant, what a cluster that violates it looks like.
VIOLATIONS = [
    ("lost", {"acknowledged": [*CHANGES, Change("acme", "plan", 4)]}),
    ("I1", {"verified": {"api-0": ["groups: a state differs"]}}),
    ("I2", {"changelog": without_offset(1)}),
    ("I3", {"commits": {0: {2: 1}}}),
    ("I3", {"went_back": ["2 to 1"]}),
    ("I4", {"held": held(STATES[1])}),
    ("I4", {"held": {"api-0": Held([Copy("the view", {0: 3}, {})], [])}}),
    ("I5", {"held": {"api-0": Held([], [Copy("the view", {0: 3}, {KEY: STATES[1]})])}}),
    ("I5", {"seen": {"api-0": [CHANGES[2], CHANGES[0]]}}),
    ("I5", {"seen": {"api-0": [Change("acme", "plan", 7)]}}),
    ("I6", {"changelog": last_without("seats"), "is_compacted": True}),
    ("I7", {"backlog": {0: 0, 1: 1}}),
    ("I7", {"pauses_s": {"worker_killed": 61.0}}),
    ("I8", {"changelog": [*CHANGELOG, record(Table.GROUPS.changelog, 3, STATES[1])]}),
]


@pytest.mark.parametrize("name", INVARIANTS)
def test_good(name):
    """
    A cluster in which all is well violates none.
    """
    assert [] == list(INVARIANTS[name](GOOD))


@pytest.mark.parametrize(("name", "bad"), VIOLATIONS, ids=lambda each: str(each)[:20])
def test_violated(name, bad):
    """
    One that is not as it has to be violates the invariant that is about this.
    """
    assert list(INVARIANTS[name](replace(GOOD, **bad)))


def test_every_invariant_can_fail():
    """
    None is without an example here.
    """
    assert set(INVARIANTS) == {name for name, _ in VIOLATIONS}
