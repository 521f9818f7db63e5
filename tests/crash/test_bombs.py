"""Bodies that are made to take memory and time, many at once, and what they cost others."""

import asyncio
import gzip
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
import zstandard

MB = 1_000_000
MANY = 200
MAX_GROWTH_BYTES = 600 * MB
MAX_WAIT_S = 5.0  # of a machine that also sends
ENVELOPE = (
    b'{"api_key": "phc_tests", "batch": [{"event": "e", "distinct_id": "u", "properties": {"a": '
)


def event(value, size=20 * MB):
    """A batch of one event with a large property."""
    return (ENVELOPE + value + b"}}]}").ljust(size)


def repeated(begin, each, end, size):
    return begin + each * ((size - len(begin) - len(end) - len(each)) // len(each)) + end


def values(each):
    return repeated(ENVELOPE + b"[", each, b"1]}}]}", 19 * MB)


def lines(each):
    return repeated(b"", each, b"!", 19 * MB)


BOMBS = {
    "gzip": gzip.compress(event(b"1")),
    "gzip in gzip": gzip.compress(gzip.compress(event(b"1"))),
    "zstd": zstandard.compress(event(b"1")),
    "spaces": event(b"1"),
    "lists": values(b"[],"),
    "objects": values(b"{},"),
    "numbers": values(b"1,"),
    "texts": values(b'"ab",'),
    "not quite JSON": values(b"NaN,"),
    "lines": lines(b"\n"),
    "base64": lines(b"A"),
    "almost a form": lines(b"&data"),
    "escapes": b"data=" + lines(b"%41"),
    "deep": ENVELOPE + b"[" * 100_000 + b"]" * 100_000,
    "deep objects": ENVELOPE + b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
}


def resident_bytes(server, what="VmHWM"):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0]) * 1024


async def send_all(server, bodies):
    """Send all at once; the answers."""
    answers = []

    async def send(session, body):
        try:
            async with session.post(f"{server.url}/batch/", data=BytesIO(body)) as response:
                await response.read()
                answers.append((response.status, response.headers.get("Retry-After")))
        except aiohttp.ClientError:
            # Refused, and the server did not wait until all of it was sent.
            answers.append((503, "1"))

    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await asyncio.gather(*(send(session, body) for body in bodies))
    return answers


def while_asked(server, bodies):
    """Send all at once while somebody asks for flags; the answers, and how long each ask took."""
    asked_s = []
    done = threading.Event()

    def ask():
        while not done.is_set():
            began_s = time.monotonic()
            server.flags("u")
            asked_s.append(time.monotonic() - began_s)

    with ThreadPoolExecutor() as threads:
        asking = threads.submit(ask)
        try:
            answers = asyncio.run(send_all(server, bodies))
        finally:
            done.set()
        asking.result()
    return answers, asked_s


class TestBombs:
    def test_each(self, server):
        """
        Whatever is sent in 20 MB is answered as too large, or as wrong, while others are answered;
        the process lives, and its memory is bounded.
        """
        before = resident_bytes(server)
        answers = {}
        longest_s = {}
        for name, bomb in BOMBS.items():
            ((answers[name], _),), asked_s = while_asked(server, [bomb])
            longest_s[name] = max(asked_s)

        assert {"spaces": 200} == {name: status for name, status in answers.items() if status < 400}
        assert {400, 413} == {status for status in answers.values() if status >= 400}
        assert resident_bytes(server) - before < MAX_GROWTH_BYTES
        assert max(longest_s.values()) < MAX_WAIT_S, longest_s

    @pytest.mark.parametrize("name", ["gzip", "spaces", "lists", "not quite JSON"])
    def test_many(self, server, name):
        """
        Two hundred at once are answered, or told to come back, within bounded memory; meanwhile
        others are answered, and events are taken afterwards.
        """
        before = resident_bytes(server)

        answers, asked_s = while_asked(server, [BOMBS[name]] * MANY)

        assert MANY == len(answers)
        assert {status for status, _ in answers} <= {200, 400, 413, 429, 503}
        assert all(after for status, after in answers if status in (429, 503))
        assert resident_bytes(server) - before < MAX_GROWTH_BYTES
        assert max(asked_s) < MAX_WAIT_S
        server.capture({"event": "after", "distinct_id": "u"})

    def test_slow(self, make_server):
        """
        Bodies that are begun and never finished take no memory for long.
        """
        server = make_server(body_timeout_s=0.5)
        server.start()

        async def begin():
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            head = f"POST /batch/ HTTP/1.1\r\nHost: x\r\nContent-Length: {20 * MB}\r\n\r\n"
            writer.write(head.encode() + b" " * MB)
            async with asyncio.timeout(30):
                answer = await reader.read()
            writer.close()
            return answer

        async def begin_many():
            return await asyncio.gather(*(begin() for _ in range(50)))

        answers = asyncio.run(begin_many())

        assert {b"408"} == {answer.split()[1] for answer in answers}
        assert {"request_timeout"} == {
            json.loads(answer.partition(b"\r\n\r\n")[2])["code"] for answer in answers
        }
        server.capture({"event": "after", "distinct_id": "u"})
