"""Changelog records of other workers: joined in, and published anew."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client import REGISTRY

from flagstream.ports import Append
from flagstream.settings import Settings
from flagstream.state.groups import GroupUpdate
from flagstream.topics import partition_of, record_key
from flagstream.transport.kafka_connection import bootstrap_servers
from flagstream.transport.opening import opened
from tests.contract.app import TABLE, App, folded, last_per_key

pytestmark = pytest.mark.broker
KEYS = [record_key(1, "organization", f"org:{number}") for number in range(6)]
TIMEOUT_S = 30.0


@pytest.fixture
def settings(kafka, tmp_path):
    return Settings(broker_url=kafka.url, partitions=2, data_dir=tmp_path)


def updates(turn):
    """One update of each key."""
    return [
        Append(TABLE.source, key, GroupUpdate(time_ms=turn, set={f"p{turn}": turn}).to_bytes())
        for key in KEYS
    ]


async def append(log, turn):
    request = updates(turn)
    return list(zip(request, await log.sink.append(request), strict=True))


@asynccontextmanager
async def another_worker(settings):
    """What an evicted worker does: it writes to the changelogs; no group protects these."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers(settings.broker_url))
    await producer.start()

    async def write(states):
        for key, state in states.items():
            partition = partition_of(key, settings.partitions)
            await producer.send_and_wait(TABLE.changelog, state, key=key, partition=partition)

    try:
        yield write
    finally:
        await producer.stop()


async def changelog_is(log, states):
    async with asyncio.timeout(TIMEOUT_S):
        while await last_per_key(log.reader, TABLE.changelog) != states:
            pass


def counted(metric):
    return REGISTRY.get_sample_value(f"{metric}_total", {"table": TABLE.value}) or 0


class TestForeignRecords:
    async def test_while_we_run(self, settings):
        """
        Records that an evicted worker writes behind ours are joined in, and what they lack is
        published anew, as soon as we write again; what only they had is kept.
        """
        foreign, republished = (
            counted("flagstream_foreign_changelog_records"),
            counted("flagstream_republished_keys"),
        )
        async with opened(settings) as log, another_worker(settings) as write:
            history = await append(log, 0)
            old = folded(history)
            async with App(settings, log) as app:
                history += await append(log, 1)
                await app.progress.wait_for([at for _, at in history])
                await changelog_is(log, folded(history))
                await write(old)
                last = await log.sink.append(updates(2)[:3])
                history += zip(updates(2)[:3], last, strict=True)
                await app.progress.wait_for(last)
                await changelog_is(log, folded(history))
                table = app.table()

        assert folded(history) == table
        assert len(KEYS) == counted("flagstream_foreign_changelog_records") - foreign
        assert counted("flagstream_republished_keys") > republished

    async def test_while_we_are_away(self, settings):
        """
        What another worker wrote while we were away does not hide what is in our table.
        """
        async with opened(settings) as log, another_worker(settings) as write:
            history = await append(log, 0)
            old = folded(history)
            history += await append(log, 1)
            async with App(settings, log) as app:
                await app.progress.wait_for([at for _, at in history])
            await write(old)
            async with App(settings, log) as app:
                await changelog_is(log, folded(history))
                table = app.table()

        assert folded(history) == table
