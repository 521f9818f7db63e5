"""Writes to a real Kafka that goes away and comes back."""

import asyncio
import time

import pytest

from flagstream.errors import BodyTooLargeError, LogUnavailableError
from flagstream.ports import Append
from flagstream.settings import Settings
from flagstream.topics import Topic
from flagstream.transport.kafka import MAX_RECORD_BYTES, KafkaReader, KafkaSink
from flagstream.transport.kafka_connection import connection
from flagstream.transport.kafka_topics import create_topics

pytestmark = pytest.mark.broker
PARTITIONS = 2
BOUND_S = 2.0


@pytest.fixture
async def sink(kafka):
    await create_topics(Settings(broker_url=kafka.url, partitions=PARTITIONS))
    async with KafkaSink(
        connection(Settings(broker_url=kafka.url)), PARTITIONS, delivery_timeout_s=BOUND_S
    ) as sink:
        yield sink


def update(value):
    return Append(Topic.EVENTS, b"key", value)


async def values_in(kafka):
    async with KafkaReader(connection(Settings(broker_url=kafka.url)), PARTITIONS) as reader:
        bounds = await reader.bounds([Topic.EVENTS])
        return [
            record.value
            for partition, (start, end) in bounds.items()
            for record in await reader.read(partition, start, end - start)
        ]


class TestKafkaSink:
    async def test_dead_broker_then_back(self, kafka, sink):
        """
        A dead broker is an error within the bound; once it is back, writes are taken again, and
        what was acknowledged before is there.
        """
        await sink.append([update(b"before")])
        kafka.kill()
        started = time.monotonic()
        with pytest.raises(LogUnavailableError):
            await sink.append([update(b"meanwhile")])
        waited_s = time.monotonic() - started

        kafka.up()
        async with asyncio.timeout(30):
            while not await self.is_taken(sink):
                pass
        values = await values_in(kafka)

        assert waited_s < BOUND_S + 1
        assert ("before", "after") == (values[0].decode(), values[-1].decode())

    async def test_events_come_last(self, kafka, sink):
        """
        Where a change of state cannot be written, its event is not in the log either: whoever
        finds the event takes the client's next attempt for a repetition.
        """
        event = Append(Topic.EVENTS, b"key", b"event")
        change = Append(Topic.GROUP_UPDATES, b"key", bytes(MAX_RECORD_BYTES))

        with pytest.raises(BodyTooLargeError):
            await sink.append([event, change])
        assert [] == await values_in(kafka)

        small = Append(Topic.GROUP_UPDATES, b"key", b"change")
        places = [each.topic for each in await sink.append([event, small, event])]
        assert [Topic.EVENTS, Topic.GROUP_UPDATES, Topic.EVENTS] == places
        assert [b"event", b"event"] == await values_in(kafka)

    @staticmethod
    async def is_taken(sink):
        try:
            await sink.append([update(b"after")])
        except LogUnavailableError:
            return False
        return True
