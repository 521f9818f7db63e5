"""
Explanations, previews and the past: how long they take, and who waits for a preview.

A server over groups that were written before: an explanation of a flag with five conditions over
HTTP, the same as of a time between a thousand versions of the group, and previews over all groups,
while ``/flags`` is asked at a steady rate. Phases without and with a preview alternate.

    python -m benchmarks.explain [--groups 1000000] [--data DIRECTORY]

A directory is filled where it is empty, and kept.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.million_groups import run_phase
from benchmarks.under_load import Client, change, cpu_s, gold_flag, p, probe
from tests.server import SECRET_KEY, Server
from tests.waiting import until

ROUNDS = 3
EXPLANATIONS = 500
VERSIONS = 1_000
START_TIMEOUT_S = 1_200.0
_API = "/api/projects/@current"
_AUTH = {"Authorization": f"Bearer {SECRET_KEY}"}
_GROUP = {"organization": "org:1"}


def five_conditions() -> dict[str, Any]:
    """Make the filters of a flag whose conditions are all asked."""
    filters = gold_flag()
    (first,) = filters["groups"]
    tests = [{**first["properties"][0], "value": f"plan-{number}"} for number in range(4)]
    others = [{"properties": [test], "rollout_percentage": 50} for test in tests]
    return {**filters, "groups": [*others, first]}


async def post(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask the API."""
    async with session.post(f"{url}{_API}{body.pop('path')}", json=body, headers=_AUTH) as response:
        assert response.status == 200, await response.text()
        answer: dict[str, Any] = json.loads(await response.read())
    return answer


async def timed(count: int, ask: Callable[[], Awaitable[Any]]) -> list[float]:
    """Ask again and again; returns the time of each answer in ms."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - start) * 1_000)
    return times


async def explanations(url: str, session: aiohttp.ClientSession, pid: int) -> dict[str, Any]:
    """Explain a flag, now and as of a time between the versions of its group."""
    asked = {"path": "/flags/explain/", "flag_key": "five", "distinct_id": "u", "groups": _GROUP}
    before = cpu_s(pid)
    now = await timed(EXPLANATIONS, lambda: post(session, url, {**asked}))
    cpu_ms = (cpu_s(pid) - before) * 1_000 / EXPLANATIONS
    client = Client(session, url)
    half = ""
    for number in range(0, VERSIONS, 50):
        await client.send([change("org:1", f"plan-{at}") for at in range(number, number + 50)])
        if number == VERSIONS // 2:
            await asyncio.sleep(0.1)
            half = datetime.now(UTC).isoformat(timespec="milliseconds")
            await asyncio.sleep(0.1)
    await client.send([change("org:1", "gold")])
    await asyncio.sleep(1)
    past = await timed(EXPLANATIONS, lambda: post(session, url, {**asked, "as_of": half}))
    return {
        "explain_ms": {"p50": p(50, now), "p99": p(99, now), "cpu": round(cpu_ms, 3)},
        "explain_as_of_ms": {"p50": p(50, past), "p99": p(99, past)},
    }


async def previews(url: str, groups: int, pid: int) -> dict[str, Any]:
    """Preview a change over all groups, with and without which ``/flags`` is asked."""
    body = {"path": "/flags/preview/", "key": "gold", "filters": five_conditions()}
    took: list[float] = []
    before = children_cpu_s(pid)
    idle: list[float] = []
    during: list[float] = []
    async with aiohttp.ClientSession() as asking, aiohttp.ClientSession() as probing:
        client = Client(probing, url)
        for _ in range(ROUNDS):
            end = time.perf_counter() + 8
            idle += await probe(client, lambda end=end: time.perf_counter() > end)  # type: ignore[misc]
            start = time.perf_counter()
            task = asyncio.create_task(post(asking, url, {**body}))
            during += await probe(client, task.done)
            took.append(time.perf_counter() - start)
            found = await task
            assert found["is_complete"]
            assert found["examined"] >= groups
    ratio = p(99, during) / p(99, idle)
    return {
        "preview_s": [round(each, 2) for each in took],
        "preview_cpu_s": round((children_cpu_s(pid) - before) / ROUNDS, 2),
        "flags_idle_ms": {"p50": p(50, idle), "p99": p(99, idle)},
        "flags_during_ms": {"p50": p(50, during), "p99": p(99, during)},
        "p99_ratio": round(ratio, 2),
    }


async def measure(url: str, groups: int, pid: int) -> dict[str, Any]:
    """Measure everything."""
    async with aiohttp.ClientSession() as session:
        figures = await explanations(url, session, pid)
    return figures | await previews(url, groups, pid)


def children_cpu_s(pid: int) -> float:
    """Read the CPU time of the processes that one has started and seen the end of."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def start(server: Server) -> None:
    """Start on data that were written before: tables and views are rebuilt."""
    server.launch()
    until(server.is_ready, START_TIMEOUT_S)


def main() -> None:
    """Run it and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    groups = options.groups
    directory = options.data or Path(tempfile.mkdtemp())
    try:
        if not (directory / "data").exists():
            run_phase("fill", directory / "data", groups)
        # On a busy machine they take their time; that they come to an end is what is asked.
        server = Server(directory / "data", preview_timeout_s=300)
        try:
            start(server)
            server.set_group("organization", "org:1", plan="gold")
            for key, filters in (("gold", gold_flag()), ("five", five_conditions())):
                server.create_flag(key, filters)
            assert server.process is not None
            figures = asyncio.run(measure(server.url, groups, server.process.pid))
        finally:
            server.kill()
    finally:
        if options.data is None:
            shutil.rmtree(directory)
    print(f"explain: {figures['explain_ms']['p50']:.2f} ms (target 2)")
    print(f"explain as of: {figures['explain_as_of_ms']['p50']:.2f} ms, {VERSIONS} versions (5)")
    print(f"preview of {groups}: {statistics.median(figures['preview_s']):.1f} s (target 10)")
    print(f"p99 of /flags meanwhile: {figures['p99_ratio']:.2f} of idle (at most 2)")
    print(json.dumps({"groups": groups, **figures}))


if __name__ == "__main__":
    main()
