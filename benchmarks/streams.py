"""
What 1,000 streams cost a server: memory, CPU while nothing happens, and a change told to all.

A real server with 50 flags, in one process, first with the streams of pages (OFREP), all of users
of one organization, then with those of backends (``/api/stream``). Nothing happens for a while,
with heartbeats every 15 seconds; then one property changes all answers of the organization, again
and again. The time is from the change's acknowledgement until the first, the median and the last
stream has told of it, negative where that was earlier; it includes what this script needs to read
them on the same cores.

    python -m benchmarks.streams [--streams 1000] [--idle-s 30] [--changes 20]
"""

import argparse
import asyncio
import json
import resource
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import uvloop
from yarl import URL

from benchmarks.load import Target
from tests.filters import group_filters
from tests.ofrep import PATH
from tests.server import SECRET_KEY, TOKEN, Server

FLAGS = 50
GROUP = "acme"


class Stream:
    """Reads a stream, and notes when the last event came."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.told = asyncio.Event()
        self.told_s = 0.0
        self.task = asyncio.create_task(self.read())

    async def read(self) -> None:  # noqa: D102
        async for line in self.response.content:
            if line.startswith(b"data:"):
                self.told_s = time.perf_counter()
                self.told.set()


async def page_stream(session: aiohttp.ClientSession, number: int) -> aiohttp.ClientResponse:
    context = {"targetingKey": f"user-{number}", "groups": {"company": GROUP}}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with session.post(PATH, json={"context": context}, headers=headers) as answer:
        (stream,) = (await answer.json())["eventStreams"]
    return await session.get(URL(stream["endpoint"]["requestUri"], encoded=True))


async def backend_stream(session: aiohttp.ClientSession, _: int) -> aiohttp.ClientResponse:
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    return await session.get("/api/stream", headers=headers)


STREAMS = {"pages": page_stream, "backends": backend_stream}


def memory_mb(target: Target) -> float:
    status = Path(f"/proc/{target.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def measure(server: Server, kind: str, options: Any) -> dict[str, Any]:
    assert server.process is not None
    target = Target(server.process.pid, server.port)
    alone_us = await idle_us_per_s(target, options.idle_s)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(server.url, connector=connector, timeout=timeout) as session:
        before_mb = memory_mb(target)
        streams = [Stream(await STREAMS[kind](session, n)) for n in range(options.streams)]
        after_mb = memory_mb(target)
        idle_us = await idle_us_per_s(target, options.idle_s)
        changes = [await change(server, target, streams, n) for n in range(options.changes)]
        for stream in streams:
            stream.task.cancel()
    return {
        "streams": options.streams,
        "of": kind,
        "kib_each": round((after_mb - before_mb) * 1024 / options.streams, 1),
        "idle_cpu_percent": round((idle_us - alone_us) / 1e4, 2),
        "change_cpu_us_each": round(median(each[0] for each in changes) / options.streams, 1),
        "first_ms": round(median(each[1] for each in changes), 1),
        "median_ms": round(median(each[2] for each in changes), 1),
        "last_ms": round(median(each[3] for each in changes), 1),
    }


async def idle_us_per_s(target: Target, seconds: float) -> float:
    began = target.cpu_s
    await asyncio.sleep(seconds)
    return (target.cpu_s - began) * 1e6 / seconds


async def change(
    server: Server, target: Target, streams: list[Stream], number: int
) -> tuple[float, float, float, float]:
    """Change an answer; gives the CPU time, and when the first, the median and the last heard."""
    for stream in streams:
        stream.told.clear()
    began_cpu_s = target.cpu_s
    plan = "free" if number % 2 else "gold"
    await asyncio.to_thread(server.set_group, "company", GROUP, plan=plan)
    acknowledged_s = time.perf_counter()
    await asyncio.gather(*(stream.told.wait() for stream in streams))
    cpu_us = (target.cpu_s - began_cpu_s) * 1e6
    told_ms = sorted((stream.told_s - acknowledged_s) * 1e3 for stream in streams)
    await asyncio.sleep(0.3)  # longer than changes are told together
    return cpu_us, told_ms[0], median(told_ms), told_ms[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--idle-s", type=float, default=30)
    parser.add_argument("--changes", type=int, default=20)
    options = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    for kind in STREAMS:
        with tempfile.TemporaryDirectory() as directory:
            server = Server(Path(directory) / "data")
            try:
                server.start()
                server.set_group("company", GROUP, plan="free")
                for number in range(FLAGS):
                    server.create_flag(f"flag-{number}", group_filters(plan="gold"))
                print(json.dumps(uvloop.run(measure(server, kind, options))), flush=True)
            finally:
                server.kill()


if __name__ == "__main__":
    main()
