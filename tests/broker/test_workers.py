"""Several workers of one group: Faust's own drivers lose updates, ours do not."""

import asyncio
import logging
import random
import signal
import time
from contextlib import asynccontextmanager

import pytest

from flagstream.ports import Append, TopicPartition
from flagstream.settings import Settings
from flagstream.state.groups import GroupState, GroupUpdate
from flagstream.topics import record_key
from flagstream.transport.opening import opened
from tests.contract.app import TABLE, folded, last_per_key

from .worker import Worker

pytestmark = pytest.mark.broker
PARTITIONS = 8
GROUPS = 400
REQUEST = 500
BACKLOG = 16_000
BURST = 8_000
PAUSE_S = 0.05
READY_TIMEOUT_S = 60.0
REST_TIMEOUT_S = 60.0
# Until a burst is on its way through the workers.
BURST_S = 0.6
# A session lasts ten seconds.
SUSPENDED_S = 13.0
STOCK_ROUNDS = 5
logger = logging.getLogger(__name__)
SOURCES = [TopicPartition(TABLE.source, number) for number in range(PARTITIONS)]


class Load:
    """Updates of many groups; each sets a property of its own, so that every lost one is seen."""

    def __init__(self, log):
        self.history = []
        self._log = log
        self._next = 0

    async def append(self, count):
        """Append in requests; what is acknowledged is in the history."""
        for first in range(0, count, REQUEST):
            numbers = range(self._next, self._next + min(REQUEST, count - first))
            self._next = numbers.stop
            appends = [self._append(number) for number in numbers]
            self.history += zip(appends, await self._log.sink.append(appends), strict=True)

    @staticmethod
    def _append(number):
        key = record_key(1, "organization", f"org:{number % GROUPS}")
        update = GroupUpdate(time_ms=number, set={f"u{number}": number})
        return Append(TABLE.source, key, update.to_bytes())

    @asynccontextmanager
    async def going_on(self):
        """Append a little all the time."""
        is_over = asyncio.Event()

        async def go_on():
            while not is_over.is_set():
                await self.append(10)
                await asyncio.sleep(PAUSE_S)

        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            is_over.set()
            await task

    async def all_acknowledged(self):
        """Wait until the group has committed everything; False if it does not within the time."""
        ends = {at[:2]: at.offset + 1 for _, at in self.history}
        deadline = time.monotonic() + REST_TIMEOUT_S
        while await self._committed() != ends:
            if time.monotonic() > deadline:
                return False
        return True

    async def _committed(self):
        return await self._log.reader.committed(SOURCES)

    async def lost(self):
        """List the updates behind which the group has committed, and which no state has."""
        committed = await self._committed()
        states = await last_per_key(self._log.reader, TABLE.changelog)
        known = {
            name for state in states.values() for name in GroupState.from_bytes(state).properties
        }
        return [
            name
            for append, at in self.history
            for name in GroupUpdate.from_bytes(append.value).set
            if at.offset < committed.get(at[:2], 0) and name not in known
        ]

    async def changelog_is_fold(self):
        """Wait until the last changelog record of every key is the fold of all appends."""
        async with asyncio.timeout(REST_TIMEOUT_S):
            while await last_per_key(self._log.reader, TABLE.changelog) != folded(self.history):
                pass


@pytest.fixture
def make_worker(kafka, tmp_path):
    workers = []

    def make(drivers):
        name = f"{drivers}-{len(workers)}"
        workers.append(Worker(tmp_path / name, kafka.url, PARTITIONS, drivers))
        return workers[-1]

    yield make

    for worker in workers:
        worker.kill()


@pytest.fixture
def settings(kafka, tmp_path):
    return Settings(broker_url=kafka.url, partitions=PARTITIONS, data_dir=tmp_path)


@pytest.fixture
async def log(settings):
    async with opened(settings) as log:
        yield log


def times_ready(worker):
    return worker.log().count("Worker ready")


async def ready(workers, since=()):
    """Wait until each has begun to fold, or has begun once more since the counts of *since*."""
    before = since or [0] * len(workers)
    async with asyncio.timeout(READY_TIMEOUT_S):
        while any(times_ready(w) <= n for w, n in zip(workers, before, strict=True)):  # noqa: ASYNC110 -- of other processes
            await asyncio.sleep(0.1)


def stop(workers):
    """Stop all at once, so that none takes over from another; return their exit codes."""
    for worker in workers:
        worker.send(signal.SIGTERM)
    return [worker.wait() for worker in workers]


async def start_three(load, make_worker, drivers, moments):
    """Start three workers within a second, on a backlog; wait until all of it is acknowledged."""
    await load.append(BACKLOG)
    workers = []
    async with load.going_on():
        for _ in range(3):
            workers.append(make_worker(drivers))
            await asyncio.sleep(moments.uniform(0, 0.4))
        await ready(workers)
    return workers, await load.all_acknowledged()


class TestStart:
    async def test_stock_drivers_lose(self, kafka, settings, make_worker):
        """
        Faust's own drivers acknowledge updates that they never fold: why we have ours.
        """
        seed = time.time_ns()
        moments, lost = random.Random(seed), []
        for _ in range(STOCK_ROUNDS):
            async with opened(settings) as log:
                load = Load(log)
                workers, _ = await start_three(load, make_worker, "stock", moments)
                lost = await load.lost()
            logger.info("seed %s: %s of %s lost", seed, len(lost), len(load.history))
            stop(workers)
            if lost:
                break
            await kafka.wipe()

        assert lost, f"seed {seed}: nothing in {STOCK_ROUNDS} rounds"

    async def test_ours_do_not(self, log, make_worker):
        """
        Started the same way, ours lose nothing: tables and changelogs are the fold of the log.
        """
        seed = time.time_ns()
        load = Load(log)
        workers, are_all_acknowledged = await start_three(
            load, make_worker, "ours", random.Random(seed)
        )

        assert are_all_acknowledged
        assert [] == await load.lost(), f"seed {seed}"
        await load.changelog_is_fold()
        assert [0, 0, 0] == stop(workers)
        assert_tables(workers, load)


class TestEviction:
    async def test_worker_that_does_not_know(self, log, make_worker):
        """
        A worker that is suspended for longer than its session, in the middle of a burst, and then
        goes on harms nothing: tables and changelogs are the fold of the log.
        """
        load = Load(log)
        workers = suspended, _ = [make_worker("ours"), make_worker("ours")]
        await ready(workers)
        async with load.going_on():
            burst = asyncio.create_task(load.append(BURST))
            await asyncio.sleep(BURST_S)
            suspended.send(signal.SIGSTOP)
            await asyncio.sleep(SUSPENDED_S)
            counts = [times_ready(worker) for worker in workers]
            suspended.send(signal.SIGCONT)
            await ready(workers, counts)
            await burst

        assert await load.all_acknowledged()
        assert [] == await load.lost()
        await load.changelog_is_fold()
        assert [0, 0] == stop(workers)
        assert_tables(workers, load)


def assert_tables(workers, load):
    """Each key is in the table of one worker, its owner, and there it is the fold."""
    tables = [worker.table() for worker in workers]
    assert sum(map(len, tables)) == len({key for table in tables for key in table})
    assert folded(load.history) == {key: state for table in tables for key, state in table.items()}
