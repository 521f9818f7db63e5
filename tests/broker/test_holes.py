"""Source records that do not arrive."""

import asyncio

import pytest
from aiokafka import TopicPartition as KafkaTopicPartition
from prometheus_client import REGISTRY

from flagstream.ports import Append, TopicPartition
from flagstream.settings import Settings
from flagstream.state.groups import GroupUpdate
from flagstream.topics import record_key
from flagstream.transport.opening import opened
from tests.contract.app import TABLE, App, folded

pytestmark = pytest.mark.broker
SOURCE = TopicPartition(TABLE.source, 0)
SKIPPED = 4
TIMEOUT_S = 30.0


async def append(log, times_ms):
    history = []
    for time_ms in times_ms:
        key = record_key(1, "organization", f"org:{time_ms}")
        append = Append(TABLE.source, key, GroupUpdate(time_ms=time_ms).to_bytes())
        history += zip([append], await log.sink.append([append]), strict=True)
    return history


class SkippingClient:
    """The client of an app's consumer, which is made to pass records without handing them over."""

    def __init__(self, app):
        thread = app._app.consumer._thread
        self._client, self._loop = thread._consumer, thread.thread_loop
        self._start = 0

    async def __aenter__(self):
        await self._call(self._pause)

    async def __aexit__(self, *exc_info):
        await self._call(self._skip)

    async def _call(self, function):
        async def called():
            function(KafkaTopicPartition(*SOURCE))

        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(called(), self._loop))

    def _pause(self, partition):
        self._client.pause(partition)
        self._start = self._client.highwater(partition)

    def _skip(self, partition):
        self._client.seek(partition, self._start + SKIPPED)
        self._client.resume(partition)


def holes():
    return REGISTRY.get_sample_value("flagstream_source_holes_total", {"topic": TABLE.source}) or 0


class TestHoles:
    async def test_is_never_acknowledged(self, kafka, tmp_path):
        """
        Records that the client has passed without handing them over are fetched again and folded
        before anything behind them is committed.
        """
        before = holes()
        settings = Settings(broker_url=kafka.url, partitions=1, data_dir=tmp_path)
        async with opened(settings) as log:
            history = await append(log, range(3))
            async with App(settings, log) as app:
                await app.progress.wait_for([at for _, at in history])
                async with SkippingClient(app):
                    history += await append(log, range(3, 3 + 2 * SKIPPED))
                await app.progress.wait_for([at for _, at in history])
                table = app.table()
            committed = await log.reader.committed([SOURCE])

        assert folded(history) == table
        assert {SOURCE: len(history)} == committed
        assert holes() > before
