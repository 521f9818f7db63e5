"""A worker that hangs is noticed, and one that only waits is left alone."""

import pytest

from flagstream.errors import LogError
from flagstream.ports import TopicPartition
from flagstream.topics import Table, Topic
from flagstream.watchdog import Watchdog

LIMIT_S = 10.0
OURS, THEIRS = (TopicPartition(Topic.GROUP_UPDATES.value, number) for number in range(2))

CHANGELOG = TopicPartition(Table.GROUPS.changelog, 0)


class World:
    """A log whose offsets a test sets, and a watchdog of a worker that owns one partition."""

    def __init__(self):
        self.ends = {OURS: 0, THEIRS: 0}
        self.commits = {}
        self.owned = {OURS, CHANGELOG}
        self.recovered = 0
        self.answers = True
        self.now_s = 0.0
        self.watchdog = Watchdog(
            self,
            lambda: self.owned,
            lambda: self.recovered,
            limit_s=LIMIT_S,
            clock_s=lambda: self.now_s,
        )

    async def bounds(self, topics):
        if not self.answers:
            raise LogError("no broker")
        return {place: (0, end) for place, end in self.ends.items()}

    async def committed(self, places):
        return {place: self.commits[place] for place in places if place in self.commits}

    async def pass_s(self, seconds, meanwhile=lambda: None):
        """Let time pass, looking each second."""
        for _ in range(int(seconds)):
            self.now_s += 1
            meanwhile()
            await self.watchdog.look()
        return self.watchdog.is_alive()


@pytest.fixture
def world():
    return World()


class TestWatchdog:
    async def test_a_backlog_that_stays(self, world):
        """
        What has a backlog and is not committed for longer than the limit hangs; once it goes on,
        it lives.
        """
        world.ends[OURS] = 5
        world.commits[OURS] = 3

        assert await world.pass_s(LIMIT_S)
        assert not await world.pass_s(2)
        world.commits[OURS] = 4
        assert await world.pass_s(1)

    async def test_a_first_record(self, world):
        """
        Where nothing was committed ever, the first record is waited for just the same.
        """
        world.ends[OURS] = 1

        assert not await world.pass_s(LIMIT_S + 2)

    async def test_one_of_several(self, world):
        """
        One partition that stays is enough, whatever the others do.
        """
        world.owned = {OURS, THEIRS}
        world.ends = {OURS: 5, THEIRS: 1_000}

        def others_move():
            world.commits[THEIRS] = world.commits.get(THEIRS, 0) + 1

        assert not await world.pass_s(LIMIT_S + 2, others_move)

    async def test_nothing_to_do(self, world):
        """
        Who has folded all, or owns nothing that waits, lives.
        """
        world.ends = {OURS: 5, THEIRS: 5}
        world.commits[OURS] = 5

        assert await world.pass_s(LIMIT_S + 2)

    async def test_slowly(self, world):
        """
        A backlog that is worked off is none, however long it takes.
        """
        world.ends[OURS] = 1_000

        def move():
            world.commits[OURS] = world.commits.get(OURS, 0) + 1

        assert await world.pass_s(3 * LIMIT_S, move)

    async def test_recovery(self, world):
        """
        While tables are recovered nothing is folded: that is no hanging, unless it stops too.
        """
        world.ends[OURS] = 5

        def recover():
            world.recovered += 1

        assert await world.pass_s(3 * LIMIT_S, recover)
        assert not await world.pass_s(LIMIT_S + 2)

    async def test_without_brokers(self, world):
        """
        While the log does not answer nobody moves: a new start would not help.
        """
        world.ends[OURS] = 5
        await world.pass_s(LIMIT_S - 1)
        world.answers = False

        assert await world.pass_s(3 * LIMIT_S)
        world.answers = True
        assert await world.pass_s(LIMIT_S)
        assert not await world.pass_s(2)

    async def test_handed_over(self, world):
        """
        What another worker has taken over is its.
        """
        world.ends[OURS] = 5
        await world.pass_s(LIMIT_S)
        world.owned = {THEIRS}

        assert await world.pass_s(2)
