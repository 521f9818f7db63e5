"""
``/flags`` with API processes beside the one that folds: how many, at what cost, and how fresh.

Servers without any (one process does everything), with one and with two, each started as a user
starts it, answer the same requests for one flag in turns; the generator runs on this machine too.
So on two cores the second API process mostly takes the generator's: what a core of its own would
bring follows from the CPU time of an answer, which is that of all processes of the server. The best
round of each counts.

Freshness is of the server with two: a change is acknowledged by one process, then the other is
asked until its answer follows. Who answers a connection is found out by the counters of each.

    python -m benchmarks.api_processes [--rounds 5] [--seconds 2] [--changes 400]
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import resource
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.flags_http import GROUP_KEYS, request_bytes
from benchmarks.load import ANY_RATE, Target
from benchmarks.under_load import Client, change, gold_flag, load, p
from tests.fakes.views import PROJECT
from tests.server import Server

PROCESSES = (0, 1, 2)
CONNECTIONS = 32
PROBES = 20
CHANGES_PER_REQUEST = 20
CHANGES_PER_S = 500  # what two cores have left beside four processes and the probes


class Round(NamedTuple):
    """
    What a server did under a load.

    Attributes:
        per_s: Answers a second.
        cpu_us: CPU time of all its processes for one of them.
        generator_us: That of the generator, likewise.
    """

    per_s: float
    cpu_us: float
    generator_us: float


class Group:
    """All processes of a server."""

    def __init__(self, server: Server) -> None:
        assert server.process is not None
        self.target = Target(server.process.pid, server.port)
        children = subprocess.run(  # noqa: S603 -- of ours
            ["pgrep", "--parent", str(server.process.pid)],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
        self.pids = [server.process.pid, *map(int, children.stdout.split())]

    @property
    def cpu_s(self) -> float:
        """CPU time of all."""
        return sum(Target(pid, 0).cpu_s for pid in self.pids)

    def round(self, requests: Sequence[bytes], seconds: float) -> Round:
        """Load it once."""
        cpu_s, generator_s = self.cpu_s, _generator_s()
        load = self.target.load(requests, connections=CONNECTIONS, seconds=seconds)
        return Round(
            per_s=load.answers / seconds,
            cpu_us=(self.cpu_s - cpu_s) / load.answers * 1e6,
            generator_us=(_generator_s() - generator_s) / load.answers * 1e6,
        )


def _generator_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def running(folder: Path, api_processes: int, **settings: Any) -> Iterator[Server]:
    """A server with a flag for the plan gold."""
    settings = {**ANY_RATE, **settings}
    server = Server(folder / f"data-{api_processes}", api_processes=api_processes, **settings)
    server.start()
    try:
        yield server
    finally:
        server.terminate()


def throughput(rounds: int, seconds: float) -> dict[str, Any]:
    """Load servers in turns."""
    requests = [request_bytes("node", key, 1) for key in GROUP_KEYS]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        groups = {}
        for count in PROCESSES:
            server = running(Path(folder), count, project_token=PROJECT.token)
            groups[count] = Group(prepared(stack.enter_context(server)))
        found: dict[int, list[Round]] = {count: [] for count in PROCESSES}
        for _ in range(rounds + 1):
            for count, group in groups.items():
                found[count].append(group.round(requests, seconds))
    return {str(count): result_of(each[1:]) for count, each in found.items()}  # the first warms up


def prepared(server: Server) -> Server:
    """Let it know the flag, and the groups that are asked for."""
    body = {"api_key": PROJECT.token, "batch": [_known(key) for key in GROUP_KEYS]}
    assert server.request("POST", "/batch/?wait=1", body).status == 200
    server.create_flag("flag-1", gold_flag())
    return server


def _known(key: str) -> dict[str, Any]:
    properties = {"$group_type": "company", "$group_key": key, "$group_set": {"plan": "gold"}}
    return {"event": "$groupidentify", "distinct_id": "backend", "properties": properties}


def result_of(rounds: Sequence[Round]) -> dict[str, float]:
    cpu_us = min(each.cpu_us for each in rounds)
    return {
        "answers_per_s": round(max(each.per_s for each in rounds)),
        "cpu_us": round(cpu_us, 1),
        "generator_us": round(min(each.generator_us for each in rounds), 1),
        "per_core_and_s": round(1e6 / cpu_us),
    }


def connection() -> aiohttp.ClientSession:
    """Make one connection, that stays the same."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))


async def freshness(changes: int) -> dict[str, dict[str, float]]:
    """Change at one process and ask the other, idle and while others change groups as well."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), 2) as server:
        server.set_group("organization", "org:probe", plan="free")
        server.create_flag("gold", gold_flag())
        async with contextlib.AsyncExitStack() as stack:
            writer, reader = await apart(server, stack)
            idle = await probe(writer, reader, changes)
            changer = Client(await stack.enter_async_context(connection()), server.url)
            async with load(changer, CHANGES_PER_REQUEST, CHANGES_PER_S):
                loaded = await probe(writer, reader, changes)
    return {
        name: {"p50_ms": p(50, times), "p99_ms": p(99, times), "count": len(times)}
        for name, times in (("idle", idle), ("loaded", loaded))
    }


async def apart(server: Server, stack: contextlib.AsyncExitStack) -> tuple[Client, Client]:
    """Open connections until two are answered by different processes."""
    found: dict[str, Client] = {}
    while len(found) < 2:
        client = Client(await stack.enter_async_context(connection()), server.url)
        before = await answered(server)
        for _ in range(PROBES):
            await client.is_gold("org:probe")
        after = await answered(server)
        found[max(after, key=lambda name: after[name] - before[name])] = client
    first, second = found.values()
    return first, second


async def answered(server: Server) -> dict[str, float]:
    """Read how many requests each process has answered."""
    text = (await asyncio.to_thread(server.request, "GET", "/metrics")).body
    families = {each.name: each for each in text_string_to_metric_families(text)}
    counts: dict[str, float] = defaultdict(float)  # the worker, which answers none, among them
    for sample in families["flagstream_http_responses"].samples:
        counts[sample.labels["process"]] += sample.value
    return counts


async def probe(writer: Client, reader: Client, changes: int) -> list[float]:
    """Change a group and ask until the answer follows; returns ms since the acknowledgement."""
    times = []
    for number in range(changes):
        plan = ("gold", "free")[number % 2]
        await writer.send([change("org:probe", plan)])
        acknowledged = time.perf_counter()
        for _ in itertools.count():
            if await reader.is_gold("org:probe") == (plan == "gold"):
                break
            assert time.perf_counter() < acknowledged + 10, "the change never showed"
        times.append((time.perf_counter() - acknowledged) * 1_000)
    return times


def main() -> None:
    """Run it and print."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--changes", type=int, default=400)
    options = parser.parse_args()
    served = throughput(options.rounds, options.seconds)
    for count, each in served.items():
        print(f"{count} API processes: {each}", flush=True)
    fresh = asyncio.run(freshness(options.changes))
    for phase, figure in fresh.items():
        print(f"freshness at the other process, {phase}: {figure}")
    print(json.dumps({"connections": CONNECTIONS, "served": served, "freshness": fresh}))


if __name__ == "__main__":
    main()
