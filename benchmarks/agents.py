"""State changes through agent, table and changelog: our drivers against Faust's own paths."""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
import uvloop

from flagstream import topics
from flagstream.state.groups import GroupUpdate
from flagstream.state.merge import REDUCERS
from flagstream.topics import partition_of, record_key, version_of
from flagstream.transport.embedded import STORE_URL, install
from flagstream.transport.log import Log, NewRecord
from flagstream.transport.options import LogOptions
from flagstream.transport.overrides import Overrides
from flagstream.transport.registry import close_log, open_log
from flagstream.transport.table import EmbeddedTable

APP_ID = "benchmark"
GROUPS = 1_000
PARTITIONS = 4
SOURCE = "source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two that are compared."""

    name: str
    store: str
    overrides: Overrides
    table: type[faust.Table[bytes, bytes]]


SIDES = (
    Side(name="ours", store=STORE_URL, overrides=Overrides(), table=EmbeddedTable),
    Side(name="stock", store="rocksdb://", overrides=Overrides.none(), table=faust.Table),
)


def updates(count: int) -> Iterator[NewRecord]:
    """Yield updates of groups in turns, each of which changes a property."""
    for number in range(count):
        key = record_key(1, "organization", f"org:{number % GROUPS}")
        update = GroupUpdate(time_ms=number, uuid=f"uuid-{number}", set={"seats": number})
        yield NewRecord(SOURCE, partition_of(key, PARTITIONS), key, update.to_bytes(), number)


def make_app(side: Side, directory: Path, folded: asyncio.Event, count: int) -> faust.App:
    """Make an app whose agent folds group updates, and sets *folded* after *count*."""
    app = faust.App(
        APP_ID,
        broker=f"embedded://{directory / 'log'}",
        store=side.store,
        datadir=directory / "tables",
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        web_enabled=False,
        broker_commit_interval=0.2,
        Table=side.table,
    )
    app.transport.overrides = side.overrides
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "partitions": PARTITIONS}
    source = app.topic(SOURCE, key_serializer="raw", value_serializer="raw", **raw)
    table = app.Table("groups", **raw)
    reducer = REDUCERS[topics.Table.GROUPS]

    @app.agent(source)
    async def fold(stream: Any) -> None:
        seen = 0
        async for event in stream.events():
            version = version_of(0, event.message.offset)
            table[event.key] = reducer.fold(table.get(event.key), event.value, version)
            seen += 1
            if seen == count:
                folded.set()

    return app


async def measure(side: Side, count: int) -> dict[str, float]:
    """Fold *count* updates and commit them; the start is not measured."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        log = open_log(LogOptions(directory=directory / "log"))
        log.create_topic(SOURCE, PARTITIONS, is_compacted=False)
        log.create_topic(f"{APP_ID}-groups-changelog", PARTITIONS, is_compacted=True)
        folded = asyncio.Event()
        app = make_app(side, directory, folded, count)
        await app.start()
        while not app.tables.actives_ready:  # noqa: ASYNC110 -- Faust signals nothing
            await asyncio.sleep(0.01)
        records = list(updates(count))
        wall, cpu = time.perf_counter(), time.process_time()
        await log.append(records)
        await folded.wait()
        await wait_committed(log, count)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        await app.stop()
        await close_log(log)
    return {"events_per_s": count / wall, "cpu_us_per_event": cpu / count * 1e6}


async def wait_committed(log: Log, count: int) -> None:
    """Wait until everything folded is committed."""

    def committed() -> int:
        return sum(log.committed(APP_ID, SOURCE, number) or 0 for number in range(PARTITIONS))

    while committed() < count:  # noqa: ASYNC110 -- the log tells nobody
        await asyncio.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    install()
    best: dict[str, dict[str, float]] = {}
    for _ in range(options.rounds):
        for side in SIDES:
            result = uvloop.run(measure(side, options.events))
            if result["cpu_us_per_event"] < best.get(side.name, result)["cpu_us_per_event"] + 1e-9:
                best[side.name] = result
    ratio = best["stock"]["cpu_us_per_event"] / best["ours"]["cpu_us_per_event"]
    print(json.dumps({**best, "ratio_cpu": ratio}, indent=2))


if __name__ == "__main__":
    main()
