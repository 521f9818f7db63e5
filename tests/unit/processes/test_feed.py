"""What API processes are told, and what they make of it."""

import asyncio
import socket
from contextlib import asynccontextmanager

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagstream.errors import LogUnavailableError
from flagstream.ports import Append, Position, TopicPartition
from flagstream.processes import Channel, Feed, RemoteLog, WorkerSide
from flagstream.processes.messages import Listening, News
from flagstream.state.sessions import SessionUpdate
from flagstream.topics import Table, Topic, record_key, version_of
from flagstream.views import Merge, Watermarks
from tests.fakes.log import FakeLog
from tests.fakes.sink import FoldedLog

GROUPS = Topic.GROUP_UPDATES.value
PARTITIONS = 2
OFFSETS = 6
KEY = record_key(1, "org", "a")


def watermarks():
    return Watermarks(max_lag_changes=10, max_lag_s=2.0)


class Told:
    """
    A side that keeps what it is told.
    """

    def __init__(self):
        self.news = []

    def told(self, channel, message):
        self.news.append(message)

    async def answer(self, channel, request):
        return b"metrics"


class Deaf:
    """
    A channel of the worker that keeps what it is to tell.
    """

    backlog_bytes = 0

    def __init__(self):
        self.closed = asyncio.get_running_loop().create_future()
        self.news = []

    def tell(self, message):
        self.news.append(msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=News))


def merged(table, partition, version, *stale):
    merge = Merge(lambda _: None)
    merge.versions[TopicPartition(table.changelog, partition)] = version
    merge.stale.update(stale)
    return merge


def replacing(key, before):
    merge = merged(Table.GROUPS, 0, 4, key)
    merge.replaced[key] = before
    return merge


@asynccontextmanager
async def connected(worker, api):
    """Two ends of a channel."""
    ours, theirs = socket.socketpair()
    channels = await Channel.over(ours, worker), await Channel.over(theirs, api)
    try:
        yield channels
    finally:
        for channel in channels:
            channel.close()
        await asyncio.gather(*(channel.closed for channel in channels))


class Worker:
    """
    One that appends, folds and follows as it is told to, and those who listen to it.
    """

    def __init__(self, changes):
        self.changes = changes
        self.progress = watermarks()
        self.feed = Feed(self.progress, lambda: True)
        self.appended, self.folded, self.applied = ([0] * PARTITIONS for _ in range(3))
        self.listeners = []

    async def append(self, number):
        if self.appended[number] < OFFSETS:
            position = Position(GROUPS, number, self.appended[number])
            self.feed.appended([Append(Topic.GROUP_UPDATES, KEY, b"")], [position])
            self.appended[number] += 1

    async def fold(self, number):
        offset = self.folded[number]
        if offset < self.appended[number]:
            version = version_of(1, offset) if self.changes[offset] else None
            self.feed.folded(GROUPS, number, offset, version)
            self.folded[number] += 1

    async def apply(self, number):
        if self.applied[number] < self.folded[number]:
            self.applied[number] = self.folded[number]
            version = version_of(1, self.folded[number] - 1)
            await self.feed.changed(merged(Table.GROUPS, number, version))
            self.progress.applied(Table.GROUPS, number, version)

    async def tell(self, _):
        self.feed.flush()

    async def listen(self, _):
        self.listeners.append(Deaf())
        self.feed.add(self.listeners[-1])


def seen(marks):
    places = [(number, offset) for number in range(PARTITIONS) for offset in range(OFFSETS)]
    return [marks.is_visible(Position(GROUPS, *place)) for place in places], marks.lag_changes


STEPS = st.tuples(st.sampled_from(["append", "fold", "apply", "tell", "listen"]), st.integers(0, 1))


class TestMarks:
    @settings(deadline=None)  # turns of an event loop on a shared machine
    @given(steps=st.lists(STEPS), changes=st.tuples(*[st.booleans()] * OFFSETS))
    def test_who_is_told_answers_like_who_folds(self, steps, changes):
        """
        Whatever happens between two messages, and whenever somebody comes in, whoever has taken in
        all of them says of every position what the worker says.
        """

        async def run():
            worker = Worker(changes)
            await worker.listen(0)
            for step, number in steps:
                await getattr(worker, step)(number)
            await worker.tell(0)
            for channel in worker.listeners:
                theirs = watermarks()
                for news in channel.news:
                    theirs.join(news.marks)
                assert seen(worker.progress) == seen(theirs)

        asyncio.run(run())

    @given(order=st.permutations(range(4)))
    def test_order_does_not_matter(self, order):
        """
        Marks only grow: joined twice or in any order they come to the same.
        """
        source, taken = watermarks(), []
        for offset in range(4):
            source.folded(GROUPS, 0, offset, version_of(0, offset))
            source.applied(Table.GROUPS, 0, version_of(0, offset))
            taken.append(source.marks())
        theirs = watermarks()
        for index in [*order, *order]:
            theirs.join(taken[index])

        assert source.marks() == theirs.marks()


class TestFeed:
    async def test_nothing_before_it_opens(self):
        """
        A worker that recovers tells nothing; once open, first how everything is.
        """
        progress, is_open, channel = watermarks(), [False], Deaf()
        feed = Feed(progress, lambda: is_open[0])
        feed.add(channel)
        feed.folded(GROUPS, 0, 0, None)
        feed.flush()
        assert [] == channel.news

        is_open[0] = True
        feed.flush()

        assert [(True, [(GROUPS, 0, 1, 1, -1, -1)])] == [
            (news.is_open, [tuple(each) for each in news.marks]) for news in channel.news
        ]

    async def test_a_change_and_its_marks_come_together(self):
        """
        Who is told of a version is told in the same message what is to be read anew.
        """
        progress, channel = watermarks(), Deaf()
        feed = Feed(progress, lambda: True)
        feed.add(channel)
        feed.folded(GROUPS, 0, 4, 4)
        await feed.changed(merged(Table.GROUPS, 0, 4, b"key"))
        progress.applied(Table.GROUPS, 0, 4)
        await asyncio.sleep(0.001)

        news = channel.news[-1]
        assert ([b"key"], 4) == (list(news.stale), news.marks[0].applied)

    async def test_what_was_replaced(self):
        """
        With a change of a group comes what was stored before it, and before all that are told with
        it.
        """
        channel = Deaf()
        feed = Feed(watermarks(), lambda: True)
        feed.add(channel)
        feed.listen(channel, is_listening=True)
        for before in (None, b"first"):
            await feed.changed(replacing(b"key", before))
        feed.flush()

        assert [(b"key", None)] == [tuple(each) for each in channel.news[-1].replaced]

    async def test_who_does_not_listen(self):
        """
        What was stored before is told to nobody but those who listen, while they do.
        """
        listening, other = Deaf(), Deaf()
        feed = Feed(watermarks(), lambda: True)
        for channel in (listening, other):
            feed.add(channel)
        told = []
        for is_listening in (False, True, False):
            feed.listen(listening, is_listening=is_listening)
            await feed.changed(replacing(b"key", b"before"))
            feed.flush()
            told.append([len(channel.news[-1].replaced) for channel in (listening, other)])

        assert [[0, 0], [1, 0], [0, 0]] == told
        assert [[b"key"]] * 3 == [list(news.stale) for news in other.news[1:]]

    async def test_what_changed_before_somebody_listens(self):
        """
        Of a key that has changed unseen, a later change does not say what was before both.
        """
        channel = Deaf()
        feed = Feed(watermarks(), lambda: True)
        feed.add(channel)
        await feed.changed(replacing(b"key", b"first"))
        feed.listen(channel, is_listening=True)
        await feed.changed(replacing(b"key", b"second"))
        feed.flush()

        assert ([b"key"], []) == (list(channel.news[-1].stale), list(channel.news[-1].replaced))

    async def test_too_much_to_tell(self):
        """
        What was stored before is left out where it is too much, at once or for a process that does
        not keep up; what has changed is told.
        """
        channel = Deaf()
        feed = Feed(watermarks(), lambda: True)
        feed.add(channel)
        feed.listen(channel, is_listening=True)
        keys = [b"%d" % number for number in range(9)]
        for key in keys:
            await feed.changed(replacing(key, bytes(1_000_000)))
        feed.flush()
        channel.backlog_bytes = 5_000_000
        await feed.changed(replacing(b"key", b"before"))
        feed.flush()

        much, late = channel.news[-2:]
        assert (set(keys), keys[:4]) == (set(much.stale), [key for key, _ in much.replaced])
        assert ([b"key"], []) == (list(late.stale), list(late.replaced))

    async def test_others_know_before_it_is_acknowledged(self):
        """
        By the time an append is answered, the other processes distrust what they show of its key.
        """
        feed = Feed(watermarks(), lambda: True)
        worker, first, second = WorkerSide(FoldedLog(), FakeLog(), feed), Told(), Told()
        update = SessionUpdate(time_ms=1, distinct_id="u", groups={"org": "a"})
        appends = [
            Append(Topic.EVENTS, b"event", b""),
            Append(Topic.GROUP_UPDATES, KEY, b"group"),
            Append(Topic.SESSION_UPDATES, record_key(1, "s"), update.to_bytes()),
        ]
        async with connected(worker, first) as (one, api), connected(worker, second) as (two, _):
            feed.add(one)
            feed.add(two)
            await RemoteLog(api).append(appends)
            await asyncio.sleep(0.01)

        landed = [key for news in second.news for key, _ in news.landed]
        assert [KEY, record_key(1, "u")] == landed
        assert not any(news.landed for news in first.news)

    async def test_who_listens_says_so(self):
        """
        A process is told what was stored before from when it says that it listens.
        """
        feed = Feed(watermarks(), lambda: True)
        worker, told = WorkerSide(FoldedLog(), FakeLog(), feed), Told()
        async with connected(worker, told) as (ours, api):
            feed.add(ours)
            api.tell(Listening(is_listening=True))
            await RemoteLog(api).bounds([])
            await feed.changed(replacing(b"key", b"before"))
            feed.flush()
            await RemoteLog(api).bounds([])

        assert [(b"key", b"before")] == [tuple(each) for each in told.news[-1].replaced]


class TestChannel:
    async def test_the_log_through_the_worker(self):
        """
        Appends, bounds and reads come to the same as at the worker.
        """
        reader = FakeLog()
        reader.append(Topic.DEAD_LETTERS, b"key", b"letter")
        sink = FoldedLog()
        worker = WorkerSide(sink, reader, Feed(watermarks(), lambda: True))
        async with connected(worker, Told()) as (_, api):
            log = RemoteLog(api)
            positions = await log.append([Append(Topic.EVENTS, b"k", b"v")] * 2)
            bounds = await log.bounds([Topic.DEAD_LETTERS])
            (place,) = bounds
            records = await log.read(place, 0, 10)

        assert [Position(Topic.EVENTS, 0, offset) for offset in (0, 1)] == positions
        assert bounds == await reader.bounds([Topic.DEAD_LETTERS])
        assert records == await reader.read(place, 0, 10)

    async def test_a_log_that_takes_no_writes(self):
        """
        A refusal is a refusal there too.
        """
        sink = FoldedLog()
        sink.is_down = True
        worker = WorkerSide(sink, FakeLog(), Feed(watermarks(), lambda: True))
        async with connected(worker, Told()) as (_, api):
            with pytest.raises(LogUnavailableError, match="disk full"):
                await RemoteLog(api).append([Append(Topic.EVENTS, b"k", b"v")])

    async def test_a_bug(self):
        """
        Of an error that nobody expected the other side learns the kind, and not the words.
        """

        class Broken(Told):
            async def answer(self, channel, request):
                raise KeyError("m4rk3d")

        async with connected(Broken(), Told()) as (_, api):
            with pytest.raises(LogUnavailableError) as refused:
                await RemoteLog(api).append([])

        assert "it failed: KeyError" == str(refused.value)

    async def test_a_worker_that_is_gone(self):
        """
        Whoever waits is refused, and whoever comes later.
        """
        sink = FoldedLog()
        sink.gate.clear()
        worker = WorkerSide(sink, FakeLog(), Feed(watermarks(), lambda: True))
        async with connected(worker, Told()) as (ours, api):
            log = RemoteLog(api)
            waiting = asyncio.create_task(log.append([Append(Topic.EVENTS, b"k", b"v")]))
            await asyncio.sleep(0.01)
            ours.close()

            for each in (waiting, log.append([])):
                with pytest.raises(LogUnavailableError, match="the worker is gone"):
                    await each

    async def test_metrics_of_whoever_answers(self):
        """
        The worker tells its own and those of all processes that answer.
        """
        worker = WorkerSide(FoldedLog(), FakeLog(), Feed(watermarks(), lambda: True))
        async with connected(worker, Told()) as (ours, _):
            worker.channels["api-0"] = ours
            metrics = await worker.metrics()

        assert {"worker", "api-0"} == metrics.keys()
        assert b"metrics" == metrics["api-0"]
