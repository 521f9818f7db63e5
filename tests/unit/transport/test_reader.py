import asyncio
from contextlib import aclosing

import pytest

from flagstream.errors import LogUnavailableError
from flagstream.ports import Append, Position, TopicPartition
from flagstream.topics import Topic, partition_of
from flagstream.transport.reader import EmbeddedReader
from flagstream.transport.sink import EmbeddedSink

PARTITIONS = 3
TOPIC = Topic.GROUP_UPDATES
TIMEOUT_S = 10.0


@pytest.fixture
async def log(logs):
    log = logs.open()
    log.create_topic(TOPIC.value, PARTITIONS, is_compacted=False)
    return log


def appends(count, start=0):
    return [Append(TOPIC, b"key-%d" % n, b"%d" % n) for n in range(start, start + count)]


class TestSink:
    async def test_positions_are_where_the_records_are(self, log):
        """
        Records go to the partition of their key, and positions come in the order given.
        """
        positions = await EmbeddedSink(log).append(appends(20))

        for position, append in zip(positions, appends(20), strict=True):
            record = log.partition(*position.topic_partition).read(position.offset, 1)[0]
            assert partition_of(append.key, PARTITIONS) == position.partition
            assert (append.key, append.value) == (record.key, record.value)

    async def test_an_unavailable_log_refuses(self, log):
        """
        While the log takes no writes nothing is acknowledged.
        """
        log._writer.fail(LogUnavailableError("disk full"))

        with pytest.raises(LogUnavailableError, match="disk full"):
            await EmbeddedSink(log).append(appends(1))


class TestReader:
    async def test_bounds(self, log):
        """
        Bounds are the first offset kept and the next one to be written, for every partition.
        """
        sink, reader = EmbeddedSink(log), EmbeddedReader(log)
        positions = await sink.append(appends(30))
        bounds = await reader.bounds([TOPIC.value])

        assert {
            TopicPartition(TOPIC.value, n): (0, sum(p.partition == n for p in positions))
            for n in range(PARTITIONS)
        } == bounds

    async def test_follows_what_is_there_and_what_comes(self, log):
        """
        A follower gets every record from its positions on, in order and once, and waits for more.
        """
        sink, reader = EmbeddedSink(log), EmbeddedReader(log)
        before = await sink.append(appends(500))
        starts = {TopicPartition(TOPIC.value, n): 1 for n in range(PARTITIONS)}
        found = []
        async with asyncio.timeout(TIMEOUT_S), aclosing(reader.follow(starts)) as batches:
            async for batch in batches:
                assert batch
                found += [Position(*record[:3]) for record in batch]
                if len(found) == 500 - PARTITIONS:
                    after = await sink.append(appends(10, start=500))
                if len(found) == 510 - PARTITIONS:
                    break

        expected = [position for position in (*before, *after) if position.offset >= 1]
        assert sorted(expected) == sorted(found)
        for place in starts:
            offsets = [p.offset for p in found if p.topic_partition == place]
            assert sorted(offsets) == offsets

    async def test_a_follower_outlives_a_full_disk(self, log):
        """
        A follower waits while the log takes no writes, and goes on when it does again.
        """
        sink, reader = EmbeddedSink(log), EmbeddedReader(log)
        place = TopicPartition(TOPIC.value, partition_of(b"key-0", PARTITIONS))
        async with asyncio.timeout(TIMEOUT_S), aclosing(reader.follow({place: 0})) as batches:
            log._writer.fail(LogUnavailableError("disk full"))
            coming = asyncio.ensure_future(anext(batches))
            while not log.is_available:  # noqa: ASYNC110 -- the log has nobody to tell
                await asyncio.sleep(0.01)
            await sink.append(appends(1))

            assert [b"key-0"] == [record.key for record in await coming]

    async def test_reads_a_part(self, log):
        """
        A read gives at most as many records as asked for.
        """
        position = (await EmbeddedSink(log).append(appends(1)))[0]
        await EmbeddedSink(log).append([appends(1)[0]] * 9)
        records = await EmbeddedReader(log).read(position.topic_partition, 2, 3)

        assert [2, 3, 4] == [record.offset for record in records]
