"""
Several processes on one real Kafka: freshness, capture, scaling and cold starts.

- fresh: acknowledged by one API node -> visible in another's `/flags`, with the position of the
  acknowledgement; idle, and while other groups change 200 times a second. What the same request
  takes without a position is subtracted nowhere and printed beside it.
- capture: events a second that one API node accepts in requests of 100, from 8 connections: of
  persons who act for a group, whose session is remembered already.
- scaling: a backlog folded by 1, 2 and 3 workers; CPU of all workers per change. They stand still
  while it is appended, so that all fold batches of one size: those that a backlog gives.
- cold: an API node without data that reads a million groups, to ready; its memory.

    scripts/kafka up && python -m benchmarks.nodes [--only PART…] [--groups 1000000]

Parts are fresh, capture, scaling and cold. The broker is emptied before each.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.load import ANY_RATE, Target
from benchmarks.million_groups import states
from flagstream.settings import Settings
from flagstream.state.groups import GroupUpdate
from flagstream.topics import APP_ID, Table, partition_of, record_key
from flagstream.transport.kafka import KafkaReader
from flagstream.transport.kafka_connection import bootstrap_servers, connection
from tests.filters import group_filters
from tests.server import START_TIMEOUT_S, TOKEN, Server
from tests.waiting import until

POSITION, STALE = "X-Flagstream-Position", "X-Flagstream-Stale"
PARTS = ("fresh", "capture", "scaling", "cold")
PARTITIONS = 6
SAMPLES = 400
CHANGES_PER_S = 200
EVENTS_PER_REQUEST = 100
BACKLOG = 60_000
FILL_TIMEOUT_S = 300.0


def cpu_s(server: Server) -> float:
    assert server.process is not None
    return Target(server.process.pid, server.port).cpu_s


def rss_mb(server: Server) -> float:
    assert server.process is not None
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


@contextmanager
def nodes(url: str, *roles: str) -> Iterator[Sequence[Server]]:
    """Run nodes on an empty broker, each with an empty data directory."""
    asyncio.run(wipe(url))
    with tempfile.TemporaryDirectory() as name:
        made = [
            Server(
                Path(name) / f"{role}-{number}",
                broker_url=url,
                role=role,
                partitions=PARTITIONS,
                log_level="error",
                **ANY_RATE,
            )
            for number, role in enumerate(roles)
        ]
        try:
            for each in made:
                each.launch()
            until(lambda: all(each.is_ready() for each in made), START_TIMEOUT_S)
            yield made
        finally:
            for each in made:
                with suppress(subprocess.TimeoutExpired):
                    each.terminate()
                each.kill()


async def wipe(url: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers(url))
    await admin.start()
    try:
        while names := [each for each in await admin.list_topics() if each.startswith(APP_ID)]:
            await admin.delete_topics(names)
            await asyncio.sleep(0.2)
    finally:
        await admin.close()


def change(group: str, number: int) -> dict[str, Any]:
    properties = {"$group_type": "company", "$group_key": group, "$group_set": {"seats": number}}
    return {"event": "$groupidentify", "distinct_id": "writer", "properties": properties}


def fresh(url: str, _: int) -> dict[str, Any]:
    with nodes(url, "worker", "api", "api") as (_, writer, reader):
        writer.set_group("company", "acme", seats=0)
        writer.create_flag("some", group_filters(50))
        until(lambda: "some" in reader.flags("somebody"))
        return uvloop.run(_fresh(writer.url, reader.url))


async def _fresh(writer: str, reader: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session:
        idle = await _samples(session, writer, reader)
        load = asyncio.create_task(_change_for_ever(session, writer))
        loaded = await _samples(session, writer, reader)
        load.cancel()
        plain = await _samples(session, writer, reader, is_positioned=False)
    return {"idle": idle, "loaded": loaded, "request_alone": plain}


async def _samples(
    session: aiohttp.ClientSession, writer: str, reader: str, *, is_positioned: bool = True
) -> dict[str, Any]:
    """Measure from the acknowledgement of a change to an answer that is as far."""
    asked = {"token": TOKEN, "distinct_id": "somebody", "groups": {"company": "acme"}}
    waited_ms, stale = [], 0
    for _ in range(SAMPLES):
        sent = {"api_key": TOKEN, "batch": [change("acme", time.time_ns())]}
        async with session.post(f"{writer}/batch/", json=sent) as response:
            headers = {POSITION: response.headers[POSITION]} if is_positioned else {}
        start = time.perf_counter()
        async with session.post(f"{reader}/flags/?v=2", json=asked, headers=headers) as response:
            await response.read()
            stale += STALE in response.headers
        waited_ms.append((time.perf_counter() - start) * 1_000)
        await asyncio.sleep(0.01)
    p99_ms = statistics.quantiles(waited_ms, n=100)[98]
    return {
        "p50_ms": round(statistics.median(waited_ms), 1),
        "p99_ms": round(p99_ms, 1),
        "max_ms": round(max(waited_ms), 1),
        "stale": stale,
    }


async def _change_for_ever(session: aiohttp.ClientSession, writer: str) -> None:
    number = 0
    while True:
        batch = [change(f"other-{number % 2_000}", number + each) for each in range(10)]
        number += 10
        async with session.post(f"{writer}/batch/", json={"api_key": TOKEN, "batch": batch}):
            await asyncio.sleep(10 / CHANGES_PER_S)


def capture(url: str, _: int) -> dict[str, Any]:
    with nodes(url, "worker", "api") as (worker, api):
        bodies = [_body(number) for number in range(200)]
        for body in bodies:
            assert api.request("POST", "/batch/?wait=1", body).status == 200
        head = "POST /batch/ HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        requests = [f"{head}content-length: {len(b)}\r\n\r\n".encode() + b for b in bodies]
        assert api.process is not None
        target, before = Target(api.process.pid, api.port), cpu_s(worker)
        loads = [target.load(requests, connections=8, seconds=5) for _ in range(3)]
        best = max(loads, key=lambda each: each.answers)
        return {
            "events_per_s": round(best.answers * EVENTS_PER_REQUEST / 5),
            "cpu_us_per_event": round(best.cpu_s / best.answers / EVENTS_PER_REQUEST * 1e6, 1),
            "p50_ms": round(best.p50_ms, 1),
            "p99_ms": round(best.p99_ms, 1),
            "worker_cpu_s": round(cpu_s(worker) - before, 1),
        }


def _body(number: int) -> bytes:
    events = [
        {
            "event": "used",
            "distinct_id": f"user-{number}-{each % 10}",
            "properties": {
                "$session_id": f"session-{number}-{each % 10}",
                "$groups": {"company": f"company-{number}"},
                "feature": "export",
                "count": each,
            },
        }
        for each in range(EVENTS_PER_REQUEST)
    ]
    return orjson.dumps({"api_key": TOKEN, "batch": events})


def scaling(url: str, _: int) -> dict[str, Any]:
    return {f"{count}_workers": _scaled(url, count) for count in (1, 2, 3)}


def _scaled(url: str, count: int) -> dict[str, Any]:
    with nodes(url, *["worker"] * count) as workers:
        with stopped(workers):
            uvloop.run(_fill(url))
        before, start = sum(map(cpu_s, workers)), time.perf_counter()
        uvloop.run(_folded(url))
        wall_s, used_s = time.perf_counter() - start, sum(map(cpu_s, workers)) - before
    return {
        "changes_per_s": round(BACKLOG / wall_s),
        "cpu_us_per_change": round(used_s / BACKLOG * 1e6, 1),
    }


@contextmanager
def stopped(servers: Sequence[Server]) -> Iterator[None]:
    """Have servers stand still for a time shorter than Kafka's session timeout."""
    processes = [server.process for server in servers if server.process is not None]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


async def _fill(url: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers(url)) as producer:
        for number in range(BACKLOG):
            key = record_key(1, "company", f"company-{number % 2_000}")
            update = GroupUpdate(time_ms=number, uuid=f"uuid-{number}", set={"seats": number})
            partition = partition_of(key, PARTITIONS)
            value = update.to_bytes()
            topic = Table.GROUPS.source.value
            await producer.send(topic, value, key=key, partition=partition)
        await producer.flush()


async def _folded(url: str) -> None:
    """Wait until all of the backlog is committed."""
    async with KafkaReader(connection(Settings(broker_url=url)), PARTITIONS) as reader:
        bounds = await reader.bounds([Table.GROUPS.source.value])
        while sum((await reader.committed(bounds)).values()) < BACKLOG:  # noqa: ASYNC110 -- polled
            await asyncio.sleep(0.05)


def cold(url: str, groups: int) -> dict[str, Any]:
    with nodes(url, "worker", "api") as (_, empty):
        empty_mb = rss_mb(empty)
        uvloop.run(_fill_changelog(url, groups))
        with tempfile.TemporaryDirectory() as name:
            node = Server(
                Path(name) / "cold",
                broker_url=url,
                role="api",
                partitions=PARTITIONS,
                log_level="error",
            )
            start = time.perf_counter()
            node.launch()
            try:
                until(node.is_ready, FILL_TIMEOUT_S)
                ready_s = time.perf_counter() - start
                return {
                    "ready_s": round(ready_s, 1),
                    "groups_per_s": round(groups / ready_s),
                    "cpu_s": round(cpu_s(node), 1),
                    "rss_mb": round(rss_mb(node)),
                    "rss_above_empty_mb": round(rss_mb(node) - empty_mb),
                }
            finally:
                node.kill()


async def _fill_changelog(url: str, groups: int) -> None:
    servers = bootstrap_servers(url)
    async with AIOKafkaProducer(bootstrap_servers=servers, max_batch_size=262_144) as producer:
        for record in states(groups, PARTITIONS, epoch=0):
            await producer.send(
                record.topic, record.value, key=record.key, partition=record.partition
            )
        await producer.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    port = os.environ.get("KAFKA_PORT", "9092")
    parser.add_argument("--broker", default=f"kafka://127.0.0.1:{port}")
    parser.add_argument("--groups", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    measures = {"fresh": fresh, "capture": capture, "scaling": scaling, "cold": cold}
    results = {}
    for part in options.only:
        results[part] = measures[part](options.broker, options.groups)
        print(f"{part}: {json.dumps(results[part])}", flush=True)
    print(json.dumps({"benchmark": "nodes", **results}))


if __name__ == "__main__":
    main()
