"""
Closed loops of HTTP requests from a process of its own, and servers in processes of their own.

Each connection sends its next request as soon as the answer to the last one is complete, or a pause
after that.
"""

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import uvloop
from aiohttp import web

HERE = Path(__file__).parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
# A limit that nobody reaches costs what another one does.
ANY_RATE = dict.fromkeys(
    ("max_events_per_s", "max_flag_requests_per_s", "max_api_requests_per_s"), 1_000_000_000
)


class Connection(asyncio.Protocol):
    """Sends the next request once the answer to the last one is complete."""

    def __init__(
        self, requests: Sequence[bytes], *, first: int, status: int, pause_s: float
    ) -> None:
        self.requests = requests
        self.position = first
        self.pause_s = pause_s
        self.status = b"HTTP/1.1 %d" % status
        self.seconds: list[float] = []
        self.head = b""
        self.missing = 0
        self.is_stopped = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # noqa: D102
        self.transport = transport
        self.send()

    def send(self) -> None:  # noqa: D102
        if self.is_stopped:
            return
        self.sent_at = time.perf_counter()
        self.transport.write(self.requests[self.position % len(self.requests)])
        self.position += 1

    def data_received(self, data: bytes) -> None:  # noqa: D102
        if self.missing:
            self.missing -= len(data)
        else:
            self.head += data
            head, separator, body = self.head.partition(b"\r\n\r\n")
            if not separator:
                return
            assert head.startswith(self.status), head
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self.head, self.missing = b"", int(length or 0) - len(body)
        assert self.missing >= 0
        if not self.missing:
            self.seconds.append(time.perf_counter() - self.sent_at)
            if not self.is_stopped:
                self.continue_later()

    def continue_later(self) -> None:  # noqa: D102
        if self.pause_s:
            asyncio.get_running_loop().call_later(self.pause_s, self.send)
        else:
            self.send()


class Load(NamedTuple):
    """
    What a server did under a load.

    Attributes:
        answers: How many were complete.
        cpu_s: CPU time of the server meanwhile.
        ms: Times from a request to its complete answer: median, 99th percentile, and the longest.
    """

    answers: int
    cpu_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def per_cpu_s(self) -> float:
        """Answers per CPU-second."""
        return self.answers / self.cpu_s


async def _loops(
    port: int, connections: int, seconds: float, status: int, pause_s: float
) -> list[float]:
    requests = [text.encode("latin-1") for text in json.load(sys.stdin)]
    loop = asyncio.get_running_loop()
    each = [
        Connection(requests, first=first, status=status, pause_s=pause_s)
        for first in range(connections)
    ]
    for connection in each:
        await loop.create_connection(lambda made=connection: made, "127.0.0.1", port)
    await asyncio.sleep(seconds)
    for connection in each:
        connection.is_stopped = True
        connection.transport.close()
    return [second * 1_000 for connection in each for second in connection.seconds]


class Target(NamedTuple):
    """A server."""

    pid: int
    port: int

    @property
    def cpu_s(self) -> float:
        """CPU time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def load(
        self,
        requests: Sequence[bytes],
        *,
        connections: int,
        seconds: float,
        status: int = 200,
        pause_s: float = 0,
    ) -> Load:
        """
        Load it.

        Args:
            status: That every answer must have.
            pause_s: Between an answer and the next request of the same connection.
        """
        before = self.cpu_s
        arguments = map(str, (self.port, connections, seconds, status, pause_s))
        finished = subprocess.run(  # noqa: S603 -- this script
            [sys.executable, "-m", "benchmarks.load", *arguments],
            input=json.dumps([each.decode("latin-1") for each in requests]),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=HERE,
        )
        answers, *times = json.loads(finished.stdout)
        return Load(answers, self.cpu_s - before, *times)


@contextlib.contextmanager
def server(module: str, *arguments: str, stdin: bytes = b"") -> Iterator[Target]:
    """Run a module that serves; it prints its port."""
    with subprocess.Popen(  # noqa: S603 -- one of these scripts
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=HERE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(stdin)
            process.stdin.close()
            yield Target(process.pid, int(process.stdout.readline()))
        finally:
            process.terminate()


async def serve(app: web.Application) -> None:
    """Serve until killed; prints the port."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    port, connections, seconds, status, pause_s = sys.argv[1:]
    ms = uvloop.run(
        _loops(int(port), int(connections), float(seconds), int(status), float(pause_s))
    )
    p99_ms = statistics.quantiles(ms, n=100)[98]
    print(json.dumps([len(ms), statistics.median(ms), p99_ms, max(ms)]))


if __name__ == "__main__":
    main()
