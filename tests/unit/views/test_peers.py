"""What is not heard from agents of one's own."""

import asyncio
import math

import pytest

from flagstream.ports import Position, TopicPartition
from flagstream.topics import Table
from flagstream.views import Peers, Watermarks

TABLE = Table.GROUPS
SOURCE, CHANGELOG = (TopicPartition(topic, 0) for topic in (TABLE.source, TABLE.changelog))


@pytest.fixture
def progress():
    progress = Watermarks(max_lag_changes=10, max_lag_s=2.0, has_peers=True)
    progress.begin({SOURCE: (0, 0)}, {}, lambda _: 0)
    return progress


@pytest.fixture
async def followed(log, progress):
    """How far the changelog's partition is followed, while somebody looks at the peers."""
    followed = {CHANGELOG: 0}
    peers = Peers(log, progress, lambda place, end: followed[place] >= end)
    looking = asyncio.create_task(peers.run())
    yield followed
    looking.cancel()


@pytest.fixture
async def shows(progress):
    """Wait until a source record shows, for ever unless it does."""

    async def shows(offset, timeout_s=math.inf):
        return await progress.wait_visible([Position(*SOURCE, offset)], timeout_s)

    return shows


class TestPeers:
    async def test_what_others_wrote(self, log, progress, followed):
        """
        Records of other nodes are lag here too.
        """
        log.append(SOURCE.topic, b"key", b"value")
        async with asyncio.timeout(5):
            while progress.lag_changes != 1:  # noqa: ASYNC110 -- nothing else tells
                await asyncio.sleep(0.01)

    async def test_records_that_changed_nothing(self, log, followed, shows):
        """
        What a worker has folded without a trace shows once that is committed, and once whatever
        it wrote before the commit is followed.
        """
        log.append(SOURCE.topic, b"key", b"value")
        log.append(CHANGELOG.topic, b"key", b"state")
        assert not await shows(0, 0.3)

        log.commits[SOURCE] = 1
        assert not await shows(0, 0.3)

        followed[CHANGELOG] = 1
        assert await shows(0)

    async def test_an_unreadable_log(self, log, followed, shows, warnings, monkeypatch):
        """
        While the log cannot be read the operator is told; then it goes on.
        """
        log.append(SOURCE.topic, b"key", b"value")
        log.commits[SOURCE] = 1
        log.failures = 1

        assert await shows(0)
        assert ["how far others are is not known"] == warnings()
