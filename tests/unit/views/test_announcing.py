"""What listeners are told of changes in the views."""

import asyncio

import pytest

from flagstream.flags import Difference
from flagstream.state.definitions import DefinitionUpdate
from flagstream.state.groups import GroupState, GroupUpdate
from flagstream.state.persons import PersonUpdate
from flagstream.state.sessions import SessionUpdate
from flagstream.topics import Table, record_key
from flagstream.views.layout import table_key
from tests.unit.views.test_read_side import flag, seen

GOLD = GroupUpdate(time_ms=1, set={"plan": "gold"})


@pytest.fixture
async def side(reading, write):
    write(Table.GROUPS, (1, "org", "a"), GroupUpdate(time_ms=1, set={"plan": "free"}))
    write(Table.DEFINITIONS, (1, "flag", "beta"), flag())
    async with reading() as side:
        yield side


@pytest.fixture
def told(side):
    """What was told since, once something that was told last has been seen."""
    told = []
    side.changes.listen(told.append)
    return told


async def after(side, told, table, version):
    """Wait until a version is seen, and give what was told of it."""
    assert await seen(side, table, version)
    (changes,) = told
    told.clear()
    return changes


class TestAnnouncer:
    async def test_groups(self, side, told, write):
        """
        A group that changed is told with what was stored before; of a new one that is nothing.
        """
        changed = await after(side, told, Table.GROUPS, write(Table.GROUPS, (1, "org", "a"), GOLD))
        new = await after(side, told, Table.GROUPS, write(Table.GROUPS, (1, "org", "b"), GOLD))

        ((place, before),) = changed.groups.items()
        assert (1, "org", "a") == place
        assert {"plan": "free"} == GroupState.from_bytes(before).values()
        assert {(1, "org", "b"): None} == new.groups

    async def test_persons(self, side, told, write):
        """
        So is the id of whom something is known now, or which was active in other groups.
        """
        person = await after(
            side,
            told,
            Table.PERSONS,
            write(Table.PERSONS, (1, "anna"), PersonUpdate(time_ms=1, set={"plan": "gold"})),
        )
        session = await after(
            side,
            told,
            Table.SESSIONS,
            write(
                Table.SESSIONS,
                (1, "session"),
                SessionUpdate(time_ms=1, distinct_id="ben", groups={"org": "a"}),
            ),
        )

        assert {(1, "anna")} == person.persons
        assert {(1, "ben")} == session.persons

    async def test_flags(self, side, told, write):
        """
        So are the flags whose definitions differ, and not those that are only described otherwise.
        """
        described = await after(
            side,
            told,
            Table.DEFINITIONS,
            write(Table.DEFINITIONS, (1, "flag", "beta"), flag(name="described", version=2)),
        )
        changed = await after(
            side,
            told,
            Table.DEFINITIONS,
            write(Table.DEFINITIONS, (1, "flag", "beta"), flag(active=False, version=3)),
        )

        assert ({1: {}}, {1}) == (described.flags, described.projects)
        assert {1: {"beta": Difference.REMOVED}} == changed.flags

    async def test_first_definition(self, side, told, write):
        """
        The first flag of a project is told like every other.
        """
        other = DefinitionUpdate(time_ms=1, body={**flag().body, "key": "other"})
        changes = await after(
            side, told, Table.DEFINITIONS, write(Table.DEFINITIONS, (7, "flag", "other"), other)
        )

        assert {7: {"other": Difference.ADDED}} == changes.flags

    async def test_nobody_listens_any_more(self, side, write):
        """
        Who has had enough is told nothing more.
        """
        told = []
        stop = side.changes.listen(told.append)
        stop()

        assert await seen(side, Table.GROUPS, write(Table.GROUPS, (1, "org", "a"), GOLD))
        await asyncio.sleep(0)
        assert [] == told

    async def test_groups_of_which_less_is_known(self, side, told):
        """
        Groups of which is not known what was stored before are named apart.
        """
        keys = [table_key(Table.GROUPS, record_key(1, "org", each)) for each in ("a", "b")]

        side.changes.announce(keys, (), {keys[0]: b"before"})

        (changes,) = told
        assert {(1, "org", "a"): b"before"} == changes.groups
        assert {(1, "org", "b")} == changes.untold

    async def test_whether_somebody_listens(self, side):
        """
        Whoever knows what was stored learns when the first listens, and when nobody does any more.
        """
        said = []
        side.changes.watched = said.append
        stops = [side.changes.listen(lambda _: None) for _ in range(2)]
        for stop in stops:
            stop()

        assert [True, False] == said
