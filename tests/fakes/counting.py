"""A Faust app on the embedded log that counts the records of each key in a table."""

import asyncio
from contextlib import asynccontextmanager

import faust

from flagstream.transport.embedded import STORE_URL, install
from flagstream.transport.overrides import Overrides, TableManager
from flagstream.transport.table import EmbeddedTable

APP_ID = "counting"
CHANGELOG = "counting-counts-changelog"
PARTITIONS = 4
SOURCE = "source"
TIMEOUT_S = 30.0


def create_topics(log, *, is_compacted=False):
    """Create what the app reads and writes."""
    log.create_topic(SOURCE, PARTITIONS, is_compacted=is_compacted)
    log.create_topic(CHANGELOG, PARTITIONS, is_compacted=True)


class Counting:
    """
    One life of the app.

    Attributes:
        delivered: Partition and offset of every record that the agent got.
        gate: The agent waits before a record while this is cleared.
    """

    def __init__(self, log, overrides=None, **settings):
        install()
        directory = log.options.directory
        self.app = faust.App(
            APP_ID,
            broker=f"embedded://{directory}",
            store=STORE_URL,
            datadir=directory.parent / "tables",
            topic_partitions=PARTITIONS,
            topic_disable_leader=True,
            web_enabled=False,
            broker_commit_interval=0.05,
            Table=EmbeddedTable,
            TableManager=TableManager,
            **settings,
        )
        self.app.transport.overrides = overrides or Overrides()
        raw = {"key_type": bytes, "value_type": bytes, "partitions": PARTITIONS}
        serializers = {"key_serializer": "raw", "value_serializer": "raw"}
        self.table = self.app.Table("counts", options={"join": max_count}, **raw)
        self.delivered = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._log = log
        self.app.agent(self.app.topic(SOURCE, **raw, **serializers), name="count")(self._count)

    async def _count(self, stream):
        async for event in stream.events():
            await self.gate.wait()
            self.table[event.key] = b"%d" % (int(self.table.get(event.key) or 0) + 1)
            self.delivered.append((event.message.partition, event.message.offset))

    def counts(self):
        """Read the whole table."""
        return {key: int(value) for key, value in self.table.items()}

    def committed(self):
        """Read the committed offset of every partition."""
        return [self._log.committed(APP_ID, SOURCE, number) for number in range(PARTITIONS)]

    async def wait_for(self, condition):
        """Wait until *condition* holds."""
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():  # noqa: ASYNC110 -- Faust signals none of these
                await asyncio.sleep(0.01)


def max_count(ours, theirs):
    """Join two counts."""
    return theirs if ours is None else max(ours, theirs, key=int)


@asynccontextmanager
async def running(log, overrides=None, **settings):
    """Run the app until the end of the block."""
    counting = Counting(log, overrides, **settings)
    await counting.app.start()
    try:
        await counting.wait_for(lambda: counting.app.tables.actives_ready)
        yield counting
    finally:
        await counting.app.stop()
