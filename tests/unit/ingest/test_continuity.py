"""The ids that persons stay bucketed by, from flag requests to the log."""

import asyncio

import pytest

from flagstream.errors import LogUnavailableError, OverloadedError
from flagstream.ingest import Continuity
from flagstream.ports import Append
from flagstream.state.persons import PersonUpdate
from flagstream.topics import Topic, key_parts, record_key
from tests.fakes.capture import NOW_MS, PROJECT_ID
from tests.fakes.sink import FoldedLog
from tests.fakes.views import FakeAdmission

FLAGS = ["beta", "checkout"]


class AgentsLog(FoldedLog):
    """
    A log whose agents fold while somebody waits for them.

    Attributes:
        is_slow: They do not get there in the time that is waited.
        is_fast: They are there before an append returns.
        waits: The times that were waited at most.
        appends: How many were tried.
        most_appending: How many waited at the gate at a time.
    """

    def __init__(self):
        super().__init__()
        self.is_slow = self.is_fast = False
        self.waits = []
        self.appends = self.most_appending = 0
        self._appending = 0

    async def append(self, appends):
        self.appends += 1
        self._appending += 1
        self.most_appending = max(self.most_appending, self._appending)
        try:
            positions = await super().append(appends)
        finally:
            self._appending -= 1
        if self.is_fast:
            self.fold()
        return positions

    async def wait_visible(self, positions, timeout_s):
        self.waits.append(timeout_s)
        await asyncio.sleep(0)
        if not self.is_slow:
            self.fold()
        return await super().wait_visible(positions, timeout_s)


class World:
    """One server, the persons that it knows, and its log."""

    def __init__(self):
        self.log = AgentsLog()
        self.admission = FakeAdmission()
        self.continuity = self.process()

    def process(self):
        """Make another server on the same log."""
        return Continuity(
            self.log,
            self.log,
            self.log,
            self.admission,
            clock_ms=lambda: NOW_MS,
            wait_timeout_s=2.0,
        )

    async def person(self, distinct_id="user-1", **update):
        update = PersonUpdate(time_ms=1, **update).to_bytes()
        key = record_key(PROJECT_ID, distinct_id)
        await self.log.append([Append(Topic.PERSON_UPDATES, key, update)])
        self.log.fold()

    def remember(self, anon="anon-1", flags=FLAGS, *, distinct_id="user-1"):
        return self.continuity.remember(PROJECT_ID, distinct_id, anon, flags)

    def lacks(self, anon="anon-1", flags=FLAGS, *, distinct_id="user-1"):
        return self.continuity.lacks(PROJECT_ID, distinct_id, anon, flags)

    def written(self):
        """Read the hash keys of every update that has any."""
        updates = self.log.records(Topic.PERSON_UPDATES)
        return [each.hash_keys for each in updates if each.hash_keys]

    def hash_keys(self, distinct_id="user-1"):
        return self.log.person(PROJECT_ID, distinct_id).hash_keys


async def gated(world, *requests):
    """Begin all requests before the first append of any comes to an end."""
    world.log.gate.clear()
    tasks = [asyncio.create_task(each) for each in requests]
    await asyncio.sleep(0)
    world.log.gate.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def world():
    world = World()
    await world.person(set={"plan": "pro"})
    return world


class TestRemember:
    async def test_one_update(self, world):
        """
        All flags of a request become one update, durable and visible when it returns.
        """
        assert world.lacks()

        await world.remember()

        expected = {"beta": "anon-1", "checkout": "anon-1"}
        record = world.log.appended[-1]
        assert (Topic.PERSON_UPDATES, [PROJECT_ID, "user-1"]) == (record[0], key_parts(record.key))
        assert PersonUpdate(time_ms=NOW_MS, hash_keys=expected).to_bytes() == record.value
        assert expected == world.hash_keys()
        assert [2.0] == world.log.waits
        assert not world.lacks()

    async def test_first_stays(self, world):
        """
        What is stored is neither written nor changed again; only what is missing is written.
        """
        await world.remember("anon-1", ["beta"])
        await world.remember("anon-2", ["beta"])
        await world.remember("anon-2", FLAGS)

        assert [{"beta": "anon-1"}, {"checkout": "anon-2"}] == world.written()
        assert {"beta": "anon-1", "checkout": "anon-2"} == world.hash_keys()

    async def test_goes_to_the_root(self, world):
        """
        The update of a merged id goes to the person that it was merged into.
        """
        await world.person("other", into="user-1")
        await world.remember(distinct_id="other")

        assert [PROJECT_ID, "user-1"] == key_parts(world.log.appended[-1].key)
        assert {"beta", "checkout"} == world.hash_keys("other").keys()

    @pytest.mark.parametrize(
        "asked",
        [
            {"distinct_id": ""},
            {"anon": ""},
            {"anon": "user-1"},
            {"flags": []},
        ],
    )
    async def test_nothing_to_do(self, world, asked):
        """
        Nothing is written or waited for without an id, another one before it, or a flag.
        """
        world.admission.error = AssertionError("asked to write")
        await world.remember(**asked)

        assert not world.lacks(**asked)
        assert ([], []) == (world.written(), world.log.waits)

    async def test_unknown_person(self, world):
        """
        A page may ask before its own identify is folded: the person is bucketed for good already.
        """
        await world.remember(distinct_id="newcomer")

        assert set(FLAGS) == world.hash_keys("newcomer").keys()

    async def test_bounded(self, world):
        """
        One update has at most a thousand hash keys; the next request brings the others.
        """
        flags = [f"flag-{number}" for number in range(1_500)]
        await world.remember(flags=flags)
        assert world.lacks(flags=flags)
        await world.remember(flags=flags)

        assert [1_000, 500] == [len(each) for each in world.written()]
        assert set(flags) == world.hash_keys().keys()


class TestRefusals:
    async def test_log_is_down(self, world):
        """
        What cannot be written is told to the caller, and written when the log is back.
        """
        world.log.is_down = True
        with pytest.raises(LogUnavailableError):
            await world.remember()
        assert [] == world.log.waits

        world.log.is_down = False
        await world.remember()
        assert {"beta", "checkout"} == world.hash_keys().keys()

    async def test_overload(self, world):
        """
        A backlog refuses what would be written, and nothing else.
        """
        await world.remember(flags=["beta"])
        world.admission.error = OverloadedError("busy", retry_after_s=1)
        await world.remember(flags=["beta"])
        with pytest.raises(OverloadedError):
            await world.remember()

        assert [{"beta": "anon-1"}] == world.written()

    async def test_slow_agents(self, world):
        """
        Once the time to wait is over it returns; what is durable already is not written again.
        """
        world.log.is_slow = True
        await world.remember("anon-1", ["beta"])
        await world.remember("anon-2")
        await world.remember("anon-3")

        assert [{"beta": "anon-1"}, {"checkout": "anon-2"}] == world.written()
        assert [2.0] * 3 == world.log.waits
        assert {} == world.hash_keys()

    async def test_unknown_outcome(self, world):
        """
        After a failed write what was on its way before is written again: its place is unknown.
        """
        world.log.is_slow = True
        await world.remember("anon-1", ["beta"])
        world.log.is_down = True
        with pytest.raises(LogUnavailableError):
            await world.remember("anon-2", ["checkout"])
        world.log.is_down = world.log.is_slow = False
        await world.remember("anon-3")

        assert [{"beta": "anon-1"}, dict.fromkeys(FLAGS, "anon-3")] == world.written()
        assert {"beta": "anon-1", "checkout": "anon-3"} == world.hash_keys()


class TestAtTheSameMoment:
    async def test_written_once(self, world):
        """
        Of several requests for one person one writes, and all see what it wrote.
        """
        seen = []

        async def request(anon):
            await world.remember(anon)
            seen.append(world.hash_keys())

        await gated(world, *map(request, ("anon-1", "anon-2", "anon-3")))

        assert [dict.fromkeys(FLAGS, "anon-1")] == world.written()
        assert [dict.fromkeys(FLAGS, "anon-1")] * 3 == seen

    async def test_already_visible(self, world):
        """
        Who waited for a write that is visible by then has nothing left to do.
        """
        world.log.is_fast = True
        await gated(world, world.remember("anon-1"), world.remember("anon-2"))

        assert [dict.fromkeys(FLAGS, "anon-1")] == world.written()
        assert [] == world.log.waits

    async def test_other_flags(self, world):
        """
        The one that waited writes what the first did not.
        """
        await gated(world, world.remember("anon-1", ["beta"]), world.remember("anon-2"))

        assert [{"beta": "anon-1"}, {"checkout": "anon-2"}] == world.written()

    async def test_other_persons(self, world):
        """
        Requests for different persons do not wait for each other.
        """
        await world.person("user-2", set={"plan": "free"})
        await gated(world, *(world.remember(distinct_id=each) for each in ("user-1", "user-2")))

        assert 2 == world.log.most_appending
        assert world.hash_keys("user-1") == world.hash_keys("user-2")

    async def test_fail_together(self, world):
        """
        A failed write fails for who waited for it too: nobody queues up before a broken log.
        """
        world.log.is_down = True
        before = world.log.appends
        outcomes = await gated(world, *(world.remember() for _ in range(3)))

        assert [LogUnavailableError] * 3 == list(map(type, outcomes))
        assert 1 == world.log.appends - before

    async def test_two_processes(self, world):
        """
        Of what two processes write at a time the first in the log stays, for both.
        """
        other = world.process()
        theirs = other.remember(PROJECT_ID, "user-1", "anon-2", FLAGS)
        await gated(world, world.remember("anon-1"), theirs)

        assert 2 == len(world.written())
        assert dict.fromkeys(FLAGS, "anon-1") == world.hash_keys()
