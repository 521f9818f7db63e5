"""
How many ``/flags`` answers a CPU-second gives, next to a bare aiohttp handler.

Both servers run in processes of their own, on uvloop and the same runner, ours with the garbage
collector as in production. The bare one inflates and parses the body and answers the very bytes
that flagstream answers, as a constant. Rounds are interleaved and the servers' own CPU time is
counted, because machines are noisy; the ratio is that of all answers per CPU-second.

    python -m benchmarks.flags_http [--rounds 5] [--seconds 1.5]
"""

import argparse
import asyncio
import contextlib
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import orjson
import uvloop
from aiohttp import web

from flagstream.api import create_app
from flagstream.state.groups import GroupUpdate, fold_group
from flagstream.topics import Table, record_key
from flagstream.views import StoredState, ViewStore
from flagstream.views.layout import table_key
from flagstream.worker import spare_the_collector
from tests.fakes.views import PROJECT, FakeCatalog
from tests.fakes.world import World

CONNECTIONS = 16
TICKS = os.sysconf("SC_CLK_TCK")
GROUP_KEYS = [f"org-{number}" for number in range(200)]


def flag_row(number: int) -> dict:
    """A group flag with a property test and a rollout."""
    test = {"key": "plan", "value": ["pro"], "operator": "exact", "type": "group"}
    condition = {"properties": [{**test, "group_type_index": 0}], "rollout_percentage": 50}
    return {
        "id": number,
        "key": f"flag-{number}",
        "name": "",
        "filters": {"groups": [condition], "aggregation_group_type_index": 0},
        "active": True,
        "deleted": False,
        "version": 1,
        "bucketing": "murmur3",
    }


def flagstream_app(flags: int, data_dir: Path) -> web.Application:
    """The production application over the production views; only the definitions are given."""
    catalog = FakeCatalog("company")
    for number in range(1, flags + 1):
        catalog.set_flag(flag_row(number))
    store = ViewStore(data_dir / "views")
    store.write(dict(map(stored_group, GROUP_KEYS)), {})
    state = StoredState(store, cache_entries=100_000, active_groups_ttl_days=30)
    services = World(catalog=catalog, view=state).services()
    return create_app(replace(services, clock_ms=lambda: time.time_ns() // 1_000_000))


def stored_group(key: str) -> tuple[bytes, bytes]:
    update = GroupUpdate(time_ms=1, set={"plan": "pro", "name": f"Company {key}", "seats": 12})
    place = table_key(Table.GROUPS, record_key(PROJECT.id, "company", key))
    return place, fold_group(None, update, 1).to_bytes()


def bare_app(answer: bytes) -> web.Application:
    """Reads and parses, and answers a constant."""

    async def handle(request: web.Request) -> web.Response:
        raw = await request.read()
        if raw[:2] == b"\x1f\x8b":
            raw = zlib.decompress(raw, 31)
        orjson.loads(raw)
        return web.Response(body=answer, content_type="application/json")

    app = web.Application()
    app.router.add_post("/flags/", handle)
    return app


async def serve(app: web.Application) -> None:
    """Serve until killed; prints the port."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last one is complete."""

    def __init__(self, requests: list[bytes], first: int) -> None:
        self.requests = requests
        self.position = first
        self.answered = 0
        self.buffer = b""
        self.is_stopped = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # noqa: D102
        self.transport = transport
        self.send()

    def send(self) -> None:  # noqa: D102
        self.transport.write(self.requests[self.position % len(self.requests)])
        self.position += 1

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        assert head.startswith(b"HTTP/1.1 200"), head
        self.buffer = b""
        self.answered += 1
        if not self.is_stopped:
            self.send()


async def load(port: int, client: str, seconds: float) -> None:
    """Load a server; prints how many answers came."""
    requests = [request_bytes(client, key) for key in GROUP_KEYS]
    loop = asyncio.get_running_loop()
    connections = [Connection(requests, first) for first in range(CONNECTIONS)]
    for connection in connections:
        await loop.create_connection(lambda each=connection: each, "127.0.0.1", port)
    await asyncio.sleep(seconds)
    for connection in connections:
        connection.is_stopped = True
        connection.transport.close()
    print(sum(connection.answered for connection in connections))


def request_bytes(client: str, group_key: str) -> bytes:
    """A request as posthog-node or posthog-js sends it."""
    body = {
        "token": PROJECT.token,
        "distinct_id": "01a20745-1c92-7f95-b65a-0b1f3284bd67",
        "groups": {"company": group_key},
        "person_properties": {},
        "group_properties": {"company": {"$group_key": group_key}},
        "geoip_disable": True,
    }
    headers = ["POST /flags/?v=2 HTTP/1.1", "host: 127.0.0.1", "accept: */*"]
    if client == "node":
        raw = orjson.dumps({**body, "evaluation_runtime": "server"})
        headers += ["user-agent: posthog-node/5.70.0", "content-type: application/json"]
    else:
        names = ("referrer", "referring_domain", "current_url", "host", "pathname", "utm_source")
        body["person_properties"] = {f"$initial_{name}": "$direct" for name in names}
        body["group_properties"] = {"company": {"plan": "pro"}}
        raw = gzip.compress(orjson.dumps({**body, "$device_id": body["distinct_id"]}))
        headers += ["user-agent: Mozilla/5.0", "content-type: text/plain"]
        headers += ["origin: http://localhost:3000", "referer: http://localhost:3000/"]
    headers += [f"content-length: {len(raw)}", "", ""]
    return "\r\n".join(headers).encode() + raw


@contextlib.contextmanager
def server(*arguments: str, stdin: bytes = b"") -> Iterator[tuple[int, int]]:
    """Run a server; yields its process id and port."""
    with subprocess.Popen(  # noqa: S603 -- this very script
        [sys.executable, "-m", "benchmarks.flags_http", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    ) as process:
        try:
            process.stdin.write(stdin)
            process.stdin.close()
            yield process.pid, int(process.stdout.readline())
        finally:
            process.terminate()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Cost(NamedTuple):
    """What one server did in one round, or in all."""

    answers: int
    cpu_s: float

    @property
    def per_cpu_s(self) -> float:
        """Answers per CPU-second."""
        return self.answers / self.cpu_s


def total(costs: Sequence[Cost]) -> Cost:
    """Add up rounds."""
    return Cost(sum(cost.answers for cost in costs), sum(cost.cpu_s for cost in costs))


def measure(pid: int, port: int, client: str, seconds: float) -> Cost:
    before = cpu_s(pid)
    arguments = ["load", str(port), client, str(seconds)]
    command = [sys.executable, "-m", "benchmarks.flags_http", *arguments]
    finished = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 -- this script
    return Cost(int(finished.stdout), cpu_s(pid) - before)


def answer_of(port: int) -> bytes:
    raw = request_bytes("node", GROUP_KEYS[0]).partition(b"\r\n\r\n")[2]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/flags/?v=2", raw) as response:
        return response.read()


def compare(flags: int, rounds: int, seconds: float) -> None:
    with server("flagstream", str(flags)) as (pid, port):
        answer = answer_of(port)
        assert flags == len(json.loads(answer)["flags"])
        with server("bare", stdin=answer) as (bare_pid, bare_port):
            for client in ("node", "js"):
                pairs = [
                    (
                        measure(pid, port, client, seconds),
                        measure(bare_pid, bare_port, client, seconds),
                    )
                    for _ in range(rounds + 1)
                ][1:]  # the first warms both up
                ours, bare = total([pair[0] for pair in pairs]), total([pair[1] for pair in pairs])
                result = {
                    "flags": flags,
                    "client": client,
                    "answer_bytes": len(answer),
                    "flagstream_cpu_us": round(1e6 / ours.per_cpu_s, 1),
                    "bare_cpu_us": round(1e6 / bare.per_cpu_s, 1),
                    "ratio": round(ours.per_cpu_s / bare.per_cpu_s, 3),
                }
                print(json.dumps(result), flush=True)


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "flagstream":
        with tempfile.TemporaryDirectory() as data_dir:
            app = flagstream_app(int(sys.argv[2]), Path(data_dir))
            spare_the_collector()
            uvloop.run(serve(app))
    elif len(sys.argv) > 1 and sys.argv[1] == "bare":
        uvloop.run(serve(bare_app(sys.stdin.buffer.read())))
    elif len(sys.argv) > 1 and sys.argv[1] == "load":
        uvloop.run(load(int(sys.argv[2]), sys.argv[3], float(sys.argv[4])))
    else:
        parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
        parser.add_argument("--rounds", type=int, default=5)
        parser.add_argument("--seconds", type=float, default=1.5)
        options = parser.parse_args()
        for flags in (1, 50):
            compare(flags, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
