"""
``/flags`` while group state changes: its 99th percentile, and how fresh its answers are.

One server in a process of its own. Idle and loaded phases alternate, so that noise of the machine
hits both; loaded means 2,000 changes of group properties a second, in requests of 20 as
posthog-node sends them, unless told otherwise.

    python -m benchmarks.under_load [--changes-per-request 50]
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.load import ANY_RATE
from tests.server import TOKEN, Server

ROUNDS = 3
PHASE_S = 8.0
CHANGES_PER_S = 2_000
GROUPS = 5_000
PROBES_PER_S = 150


def change(group_key: str, plan: str) -> dict[str, Any]:
    """Make an event that changes a group's plan."""
    properties = {
        "$group_type": "organization",
        "$group_key": group_key,
        "$group_set": {"plan": plan},
    }
    return {"event": "$groupidentify", "distinct_id": "backend", "properties": properties}


def gold_flag() -> dict[str, Any]:
    """Make the filters of a flag for the plan gold."""
    gold = {"key": "plan", "value": "gold", "operator": "exact", "type": "group"}
    condition = {"properties": [gold | {"group_type_index": 0}], "rollout_percentage": 100}
    return {"aggregation_group_type_index": 0, "groups": [condition]}


class Client:
    """What a probe and a producer need of the server."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def send(self, events: Sequence[dict[str, Any]]) -> None:
        """Send events; returns once they are acknowledged."""
        body = {"api_key": TOKEN, "batch": events}
        async with self._session.post(f"{self._url}/batch/", json=body) as response:
            assert response.status == 200, await response.text()

    async def is_gold(self, group_key: str) -> bool:
        """Ask for the flag of a group."""
        body = {"token": TOKEN, "distinct_id": "u", "groups": {"organization": group_key}}
        async with self._session.post(f"{self._url}/flags/?v=2", json=body) as response:
            answer = json.loads(await response.read())
        enabled: bool = answer["flags"]["gold"]["enabled"]
        return enabled


@asynccontextmanager
async def load(client: Client, per_request: int, per_s: int = CHANGES_PER_S) -> AsyncIterator[None]:
    """Change group properties at a steady rate meanwhile."""
    task = asyncio.create_task(_change_for_ever(client, per_request, per_s))
    try:
        yield
    finally:
        task.cancel()


async def _change_for_ever(client: Client, per_request: int, per_s: int) -> None:
    pause_s = per_request / per_s
    due = time.perf_counter()
    for number in itertools.count():
        keys = range(number * per_request, (number + 1) * per_request)
        await client.send([change(f"org:{key % GROUPS}", f"plan-{number}") for key in keys])
        due += pause_s
        await asyncio.sleep(max(due - time.perf_counter(), 0))


async def probe(client: Client, is_over: Callable[[], bool]) -> list[float]:
    """Ask for flags at a steady rate until something is over; returns the time of each in ms."""
    times, due = [], time.perf_counter()
    while not is_over():
        start = time.perf_counter()
        await client.is_gold("org:1")
        times.append((time.perf_counter() - start) * 1_000)
        due += 1 / PROBES_PER_S
        await asyncio.sleep(max(due - time.perf_counter(), 0))
    return times


async def probe_latency(client: Client) -> list[float]:
    """Ask for flags as long as a phase lasts."""
    end = time.perf_counter() + PHASE_S
    return await probe(client, lambda: time.perf_counter() > end)


async def probe_freshness(client: Client) -> list[float]:
    """Change a group and ask until the answer follows; returns ms since the acknowledgement."""
    times = []
    end = time.perf_counter() + PHASE_S
    for number in itertools.count():
        if time.perf_counter() > end:
            return times
        plan = ("gold", "free")[number % 2]
        await client.send([change("org:probe", plan)])
        acknowledged = time.perf_counter()
        while await client.is_gold("org:probe") != (plan == "gold"):
            assert time.perf_counter() < acknowledged + 10, "the change never showed"
        times.append((time.perf_counter() - acknowledged) * 1_000)
    raise AssertionError


def p(percent: int, times: Sequence[float]) -> float:
    """Take a percentile, rounded to µs."""
    return round(statistics.quantiles(times, n=100)[percent - 1], 3)


async def measure(url: str, per_request: int) -> dict[str, list[float]]:
    """Alternate idle and loaded phases."""
    times: dict[str, list[float]] = {
        f"{kind} {phase}": [] for kind in ("latency", "freshness") for phase in ("idle", "loaded")
    }
    async with aiohttp.ClientSession() as probe, aiohttp.ClientSession() as producer:
        client, changer = Client(probe, url), Client(producer, url)
        for _ in range(ROUNDS):
            times["latency idle"] += await probe_latency(client)
            times["freshness idle"] += await probe_freshness(client)
            async with load(changer, per_request):
                times["latency loaded"] += await probe_latency(client)
                times["freshness loaded"] += await probe_freshness(client)
    return times


def cpu_s(pid: int) -> float:
    """Read the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run it and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--changes-per-request", type=int, default=20)
    per_request = parser.parse_args().changes_per_request
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", embedded_fsync="interval", **ANY_RATE)
        server.start()
        try:
            server.set_group("organization", "org:1", plan="gold")
            server.create_flag("gold", gold_flag())
            times = asyncio.run(measure(server.url, per_request))
            assert server.process is not None
            cpu = cpu_s(server.process.pid)
        finally:
            server.kill()
    figures = {
        name: {"p50_ms": p(50, some), "p99_ms": p(99, some), "count": len(some)}
        for name, some in times.items()
    }
    for name, figure in figures.items():
        print(f"{name:18} p50 {figure['p50_ms']:7.2f} ms  p99 {figure['p99_ms']:7.2f} ms")
    ratio = figures["latency loaded"]["p99_ms"] / figures["latency idle"]["p99_ms"]
    print(f"p99 of /flags at {CHANGES_PER_S} changes/s: {ratio:.2f} of idle (at most 2)")
    print(json.dumps({"p99_ratio": round(ratio, 2), "server_cpu_s": cpu, **figures}))


if __name__ == "__main__":
    main()
