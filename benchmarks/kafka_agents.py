"""
State changes on a real Kafka: our drivers, Faust's own paths, and a plain loop without a framework.

Each folds the same backlog of group updates: read, join, write to the table, publish to the
changelog, commit. The plain loop does no more than that: one consumer, one producer, a RocksDB, a
commit a batch once its changelog records are delivered; it has no groups of workers that take over
from each other. CPU is that of our process; the broker has its own.

    scripts/kafka up && python -m benchmarks.kafka_agents [--events 20000] [--rounds 3] [--profile]
"""

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import faust
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from rocksdict import WriteBatch

from benchmarks.agents import PARTITIONS, updates
from flagstream import topics
from flagstream.settings import Settings
from flagstream.state.merge import REDUCERS
from flagstream.topics import version_of
from flagstream.transport import kafka_driver
from flagstream.transport.kafka_connection import bootstrap_servers
from flagstream.transport.rocks import Database

REDUCER = REDUCERS[topics.Table.GROUPS]
_SEND_AT_ONCE = 1_000


class Run:
    """One side's run: topics of its own, filled with the backlog."""

    def __init__(self, url: str, directory: Path, count: int) -> None:
        self.servers = bootstrap_servers(url)
        self.url = url
        self.directory = directory
        self.count = count
        self.app_id = f"benchmark-{uuid4().hex[:8]}"
        self.source = f"{self.app_id}-source"
        self.changelog = f"{self.app_id}-groups-changelog"
        self.folded = asyncio.Event()
        self._began = (0.0, 0.0)
        self.result: dict[str, float] = {}

    def begin(self) -> None:
        """Measure from now on: starts cost the same however much is folded."""
        self._began = time.perf_counter(), time.process_time()

    def end(self) -> None:
        """Note what it took, once everything is committed."""
        wall_s, cpu_s = self._began
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        self.result = {
            "changes_per_s": round(self.count / wall_s),
            "cpu_us_per_change": round(cpu_s / self.count * 1e6, 1),
        }

    @asynccontextmanager
    async def prepared(self) -> Any:
        """Make the topics and fill the source; removes them afterwards."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        names = (self.source, self.changelog)
        await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
        try:
            await self._fill()
            yield
        finally:
            await admin.delete_topics(list(names))
            await admin.close()

    async def _fill(self) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.servers) as producer:
            sent = []
            for record in updates(self.count):
                sent.append(
                    await producer.send(
                        self.source, record.value, key=record.key, partition=record.partition
                    )
                )
                if len(sent) == _SEND_AT_ONCE:
                    await asyncio.gather(*sent)
                    sent.clear()
            await asyncio.gather(*sent)

    async def committed(self) -> int:
        """Count the records that were folded and committed."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, group_id=self.app_id)
        await consumer.start()
        try:
            places = [TopicPartition(self.source, number) for number in range(PARTITIONS)]
            return sum([await consumer.committed(place) or 0 for place in places])
        finally:
            await consumer.stop()


def app_settings(run: Run, side: str) -> dict[str, Any]:
    if side == "ours":
        return kafka_driver.faust_settings(Settings(broker_url=run.url, partitions=PARTITIONS))
    return {
        "broker": run.url,
        "store": "rocksdb://",
        "topic_partitions": PARTITIONS,
        "topic_disable_leader": True,
        "broker_commit_interval": 0.2,
    }


async def fold_with_faust(run: Run, side: str) -> None:
    """Fold the backlog with an agent and a table."""
    datadir = run.directory / "tables"
    app = faust.App(run.app_id, datadir=datadir, web_enabled=False, **app_settings(run, side))
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "partitions": PARTITIONS}
    source = app.topic(run.source, key_serializer="raw", value_serializer="raw", **raw)
    changelog = app.topic(run.changelog, key_serializer="raw", value_serializer="raw", **raw)
    table = app.Table("groups", changelog_topic=changelog, options={"join": REDUCER.join}, **raw)

    @app.agent(source)
    async def fold(stream: Any) -> None:
        seen = 0
        async for event in stream.events():
            if not seen:
                run.begin()
            version = version_of(0, event.message.offset)
            table[event.key] = REDUCER.fold(table.get(event.key), event.value, version)
            seen += 1
            if seen == run.count:
                run.folded.set()

    await app.start()
    await run.folded.wait()
    while await run.committed() < run.count:
        await app.consumer.commit()
    run.end()
    await app.stop()


async def fold_plainly(run: Run) -> None:
    """Fold the backlog in a loop, the way one would without a framework."""
    database = Database(run.directory / "plain")
    consumer = AIOKafkaConsumer(
        run.source,
        bootstrap_servers=run.servers,
        group_id=run.app_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(bootstrap_servers=run.servers, acks="all", enable_idempotence=True)
    async with producer, consumer:
        done = 0
        while done < run.count:
            fetched = await consumer.getmany(timeout_ms=200, max_records=500)
            if not done:
                run.begin()
            for partition, records in fetched.items():
                states: dict[bytes, bytes] = {}
                sent = []
                for record in records:
                    before = states.get(record.key) or database.get(record.key)
                    after = REDUCER.fold(before, record.value, version_of(0, record.offset))
                    states[record.key] = after
                    sent.append(
                        await producer.send(
                            run.changelog, after, key=record.key, partition=partition.partition
                        )
                    )
                delivered = [await each for each in sent]
                write(database, states, delivered[-1].offset)
                done += len(records)
            await consumer.commit()
        run.end()
    database.close()


def write(database: Database, states: dict[bytes, bytes], offset: int) -> None:
    batch = WriteBatch(raw_mode=True)
    for key, state in states.items():
        batch.put(key, state)
    batch.put(b"offset", str(offset).encode())
    database.write(batch)


SIDES: dict[str, Callable[[Run], Awaitable[None]]] = {
    "ours": lambda run: fold_with_faust(run, "ours"),
    "stock": lambda run: fold_with_faust(run, "stock"),
    "plain": fold_plainly,
}


async def measure(side: str, url: str, count: int) -> dict[str, float]:
    """Fold *count* updates and commit them."""
    with tempfile.TemporaryDirectory() as name:
        run = Run(url, Path(name), count)
        async with run.prepared():
            await SIDES[side](run)
            assert await run.committed() == count
    return run.result


def profiled(side: str, url: str, count: int) -> None:
    """Print where the time of one side goes."""
    profile = cProfile.Profile()
    profile.enable()
    asyncio.run(measure(side, url, count))
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    port = os.environ.get("KAFKA_PORT", "9092")
    parser.add_argument("--broker", default=f"kafka://127.0.0.1:{port}")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=tuple(SIDES))
    parser.add_argument("--profile", choices=SIDES)
    options = parser.parse_args()
    if options.profile:
        profiled(options.profile, options.broker, options.events)
        return
    best: dict[str, dict[str, float]] = {}
    for _ in range(options.rounds):
        for side in options.sides:
            result = uvloop.run(measure(side, options.broker, options.events))
            if side not in best or (result["cpu_us_per_change"] < best[side]["cpu_us_per_change"]):
                best[side] = result
    ours = best["ours"]["cpu_us_per_change"]
    ratios = {side: round(each["cpu_us_per_change"] / ours, 2) for side, each in best.items()}
    print(json.dumps({**best, "ratio_cpu_to_ours": ratios}, indent=2))


if __name__ == "__main__":
    main()
