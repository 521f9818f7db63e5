"""What is not HTTP, what may be read in two ways, what is too slow and what is too much."""

import asyncio
import json
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_network

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from flagstream.routes.connections import Connections, Times, is_within
from flagstream.routes.errors import expected, guarded
from flagstream.routes.protocol import Protocol, listen

SOON_S = 0.1
PATIENT = Times(head=30, body=30, idle=30)
WAIT_S = 5
LARGE = b"x" * 10_000_000
GET_LARGE = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab"


async def echo(request):
    return web.json_response({"path": request.path, "body": (await request.read()).decode()})


async def large(_request):
    return web.Response(body=LARGE)


@asynccontextmanager
async def listening(times=PATIENT, *, limit=100, limit_per_address=0, proxies=()):
    """An application that says what was asked of it."""
    app = web.Application()
    app.router.add_get("/large", large)
    answer = guarded(echo, lambda: True)
    app.router.add_route("*", "/{path:.*}", answer, expect_handler=expected)
    runner = web.AppRunner(app)
    await runner.setup()
    connections = Connections(
        times, limit=limit, limit_per_address=limit_per_address, proxies=proxies
    )
    server = await listen(runner, connections, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname(), connections
    finally:
        server.close()
        await runner.cleanup()


class Connection:
    """A client that writes whatever it likes."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    @classmethod
    @asynccontextmanager
    async def to(cls, address):
        reader, writer = await asyncio.open_connection(*address)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def send(self, raw):
        self.writer.write(raw)

    async def answer(self):
        """Read the next answer: its status, headers and body."""
        async with asyncio.timeout(WAIT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return int(head[0].split()[1]), headers, json.loads(body)

    async def is_closed(self):
        """Wait until the server has closed it, without another word."""
        async with asyncio.timeout(WAIT_S):
            with suppress(ConnectionError):
                return await self.reader.read() == b""
        return True


@contextmanager
def counted(status, code):
    """What happens meanwhile is counted as one answer of a status, and as a refusal."""

    def counts():
        return [
            REGISTRY.get_sample_value("flagstream_http_responses_total", {"status": str(status)}),
            REGISTRY.get_sample_value("flagstream_http_refusals_total", {"code": code}),
        ]

    before = counts()
    yield
    assert [(each or 0) + 1 for each in before] == counts()


@pytest.fixture
async def address():
    async with listening() as (address, _):
        yield address


def post(*lines, body=b"", version="1.1"):
    return "\r\n".join([f"POST /a HTTP/{version}", "Host: x", *lines, "", ""]).encode() + body


NEXT = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked"
END = b"0\r\n\r\n"
AMBIGUOUS = {
    "length and chunks": post("Content-Length: 4", CHUNKED, body=END),
    "chunks and length": post(CHUNKED, "Content-Length: 4", body=END),
    "two lengths": post("Content-Length: 4", "Content-Length: 5", body=b"abcde"),
    "one length twice": post("Content-Length: 4", "Content-Length: 4", body=b"abcd"),
    "list of lengths": post("Content-Length: 4, 4", body=b"abcd"),
    "length with a sign": post("Content-Length: +4", body=b"abcd"),
    "negative length": post("Content-Length: -4", body=b"abcd"),
    "hexadecimal length": post("Content-Length: 0x4", body=b"abcd"),
    "two numbers": post("Content-Length: 4 4", body=b"abcd"),
    "endless length": post(f"Content-Length: {'9' * 30}", body=b"abcd"),
    "no length": post("Content-Length:", body=b"abcd"),
    "folded coding": post("Transfer-Encoding:\r\n chunked", body=END),
    "folded header": post("X-A: b\r\n c", "Content-Length: 0"),
    "unknown coding": post("Transfer-Encoding: xchunked", body=END),
    "coding of codings": post("Transfer-Encoding: gzip, chunked", body=END),
    "chunked and more": post("Transfer-Encoding: chunked, identity", body=END),
    "no coding": post("Transfer-Encoding: identity", "Content-Length: 4", body=b"abcd"),
    "coding twice": post(CHUNKED, CHUNKED, body=END),
    "coding behind a control": post("Transfer-Encoding: \x0bchunked", body=END),
    "coding in quotes": post('Transfer-Encoding: "chunked"', body=END),
    "chunks in 1.0": post(CHUNKED, version="1.0", body=END),
    "chunks in a kept 1.0": post("Connection: keep-alive", CHUNKED, version="1.0", body=END),
    "space before a colon": post("Transfer-Encoding : chunked", body=END),
    "space before a length": post("Content-Length : 4", body=b"abcd"),
    "space before a name": b"GET /a HTTP/1.1\r\n Host: x\r\n\r\n",
    "bare line feeds": b"GET /a HTTP/1.1\nHost: x\n\n",
    "a bare line feed": b"GET /a HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
    "a bare line feed at the end": b"GET /a HTTP/1.1\r\nHost: x\r\n\n",
    "a bare carriage return": b"GET /a HTTP/1.1\r\nHost: x\rX: y\r\n\r\n",
    "a NUL": post("X: a\0b"),
    "no chunk size": post(CHUNKED, body=b"zz\r\nabc\r\n" + END),
    "negative chunk size": post(CHUNKED, body=b"-1\r\nabc\r\n" + END),
    "chunk size with a prefix": post(CHUNKED, body=b"0x3\r\nabc\r\n" + END),
    "endless chunk size": post(CHUNKED, body=b"F" * 17 + b"\r\nabc\r\n" + END),
    "chunk size with a bare line feed": post(CHUNKED, body=b"3\nabc\r\n" + END),
    "chunk size with a space": post(CHUNKED, body=b"3 \r\nabc\r\n" + END),
    "chunk longer than it says": post(CHUNKED, body=b"3\r\nabcd\r\n" + END),
    "extension with a line feed": post(CHUNKED, body=b"3;a=\nb\r\nabc\r\n" + END),
    "length in a trailer": post(CHUNKED, body=b"0\r\nContent-Length: 3\r\n\r\n"),
    "absolute form": b"GET http://other/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "authority form": b"CONNECT other:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "asterisk form": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "relative path": b"GET a HTTP/1.1\r\nHost: x\r\n\r\n",
    "two hosts": b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "no host": b"GET /a HTTP/1.1\r\n\r\n",
    "HTTP/0.9": b"GET /a\r\n\r\n",
    "HTTP/1.2": b"GET /a HTTP/1.2\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\n\r\n",
    "no HTTP": b"NONSENSE\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no colon": b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
    "name with brackets": b"GET / HTTP/1.1\r\nHost: x\r\nX(Y): y\r\n\r\n",
    "method in small letters": b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
    "path of bytes": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "long path": b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "long header": post("X: " + "x" * 9_000),
    "many headers": post(*(f"X-{number}: y" for number in range(200))),
}


class TestAmbiguous:
    @pytest.mark.parametrize("sent", AMBIGUOUS.values(), ids=AMBIGUOUS)
    async def test_refused(self, address, sent):
        """
        What is not HTTP, or could be read in two ways, is answered with one 400 in the shape of
        every error; then the connection ends, and nothing that came behind is answered.
        """
        async with Connection.to(address) as connection:
            connection.send(sent + NEXT)

            status, headers, body = await connection.answer()

            assert 400 == status
            assert "close" == headers["connection"]
            assert ["type", "code", "detail", "attr"] == list(body)
            assert await connection.is_closed()

    @pytest.mark.parametrize(
        "torn", [b"zz\r\n", b"3\r\nabcd\r\n", b"3\nabc", b"0\r\nContent-Length: 3\r\n\r\n"]
    )
    async def test_torn_later(self, address, torn):
        """
        So is a body that goes wrong while it is read: there is one answer to it, and no other.
        """
        async with Connection.to(address) as connection:
            connection.send(post(CHUNKED, "Expect: 100-continue", body=b"3\r\nabc\r\n"))
            async with asyncio.timeout(WAIT_S):
                await connection.reader.readuntil(b"100 Continue\r\n\r\n")
            connection.send(torn + NEXT)

            status, headers, _ = await connection.answer()

            assert (400, "close") == (status, headers["connection"])
            assert await connection.is_closed()

    @pytest.mark.parametrize(
        ("sent", "body"),
        [
            (post("Content-Length: 4", body=b"abcd"), "abcd"),
            (post(CHUNKED, body=b"3;a=b\r\nabc\r\n" + END), "abc"),
            (post("Transfer-Encoding: Chunked", body=b"3\r\nabc\r\n" + END), "abc"),
            (post("Expect: nonsense", "Content-Length: 1", body=b"a"), "a"),
            (b"\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", ""),
        ],
    )
    async def test_pipelined(self, address, sent, body):
        """
        What is right is answered, and so is the request behind it, each from its own body.
        """
        async with Connection.to(address) as connection:
            connection.send(sent + NEXT)

            first, second = await connection.answer(), await connection.answer()

            assert (200, {"path": "/a", "body": body}) == (first[0], first[2])
            assert (200, {"path": "/smuggled", "body": ""}) == (second[0], second[2])

    @pytest.mark.parametrize("protocol", ["h2c", "websocket"])
    async def test_upgrade(self, address, protocol):
        """
        Another protocol is not changed to, and nothing that came behind the offer is answered.
        """
        upgrade = ("Connection: Upgrade", f"Upgrade: {protocol}")
        async with Connection.to(address) as connection:
            connection.send(post(*upgrade, "Content-Length: 1", body=b"a") + NEXT)
            status, headers, body = await connection.answer()

            assert (200, "close") == (status, headers["connection"])
            assert {"path": "/a", "body": "a"} == body
            assert await connection.is_closed()

    async def test_right_before_wrong(self, address):
        """
        A request is answered also where the next one is refused.
        """
        async with Connection.to(address) as connection:
            connection.send(post("Content-Length: 1", body=b"a") + AMBIGUOUS["absolute form"])

            assert [200, 400] == [(await connection.answer())[0], (await connection.answer())[0]]
            assert await connection.is_closed()


class TestSlow:
    async def test_head(self):
        """
        A head that does not arrive in time is answered with 408, however it trickles.
        """
        async with (
            listening(replace(PATIENT, head=SOON_S)) as (address, _),
            Connection.to(address) as connection,
        ):
            connection.send(b"GET / HTTP/1.1\r\n")

            status, _, body = await connection.answer()

            assert (408, "request_timeout") == (status, body["code"])
            assert await connection.is_closed()

    async def test_is_counted(self):
        """
        What is answered to who has not asked yet is counted like every other refusal.
        """
        with counted(408, "request_timeout"):
            async with (
                listening(replace(PATIENT, head=SOON_S)) as (address, _),
                Connection.to(address) as connection,
            ):
                connection.send(b"GET / HTTP/1.1\r\n")
                await connection.answer()
        with counted(503, "unavailable"):
            async with listening(limit=0) as (address, _), Connection.to(address) as connection:
                await connection.answer()
        with counted(400, "invalid_input"):
            async with listening() as (address, _), Connection.to(address) as connection:
                connection.send(b"NONSENSE\r\n\r\n")
                await connection.answer()

    async def test_trickle(self):
        """
        That something comes every now and then is no reason to wait longer.
        """
        async with (
            listening(replace(PATIENT, head=SOON_S)) as (address, _),
            Connection.to(address) as connection,
        ):

            async def trickle():
                with suppress(ConnectionError):
                    while True:
                        connection.send(b"X: y\r\n")
                        await connection.writer.drain()
                        await asyncio.sleep(SOON_S / 10)

            connection.send(b"GET / HTTP/1.1\r\n")
            trickling = asyncio.create_task(trickle())
            status, _, _ = await connection.answer()
            trickling.cancel()

            assert 408 == status

    async def test_silence(self):
        """
        Who never says anything is not kept either.
        """
        async with (
            listening(replace(PATIENT, head=SOON_S)) as (address, connections),
            Connection.to(address) as connection,
        ):
            assert await connection.is_closed()
            assert 0 == connections.open

    async def test_second_head(self):
        """
        The head of a later request may take no longer than that of the first.
        """
        async with (
            listening(replace(PATIENT, head=SOON_S)) as (address, _),
            Connection.to(address) as connection,
        ):
            connection.send(NEXT)
            first = await connection.answer()
            connection.send(b"GET / HTTP")

            assert [200, 408] == [first[0], (await connection.answer())[0]]
            assert await connection.is_closed()

    @pytest.mark.parametrize(
        "begun", [post("Content-Length: 9", body=b"abc"), post(CHUNKED, body=b"3\r\nabc\r\n")]
    )
    async def test_body(self, begun):
        """
        A body that does not arrive in time is answered with 408, and the connection ends.
        """
        async with (
            listening(replace(PATIENT, body=SOON_S)) as (address, _),
            Connection.to(address) as connection,
        ):
            connection.send(begun)

            status, headers, body = await connection.answer()

            assert (408, "request_timeout") == (status, body["code"])
            assert "close" == headers["connection"]
            assert await connection.is_closed()

    async def test_idle(self):
        """
        A connection ends that nothing is asked over any more.
        """
        async with (
            listening(replace(PATIENT, idle=SOON_S)) as (address, connections),
            Connection.to(address) as connection,
        ):
            connection.send(NEXT)

            assert 200 == (await connection.answer())[0]
            assert await connection.is_closed()
            assert 0 == connections.open

    @pytest.fixture
    def paused(self, monkeypatch):
        """Set once the server waits for a client to take an answer."""
        paused, pause = asyncio.Event(), Protocol.pause_writing

        def pause_writing(protocol):
            pause(protocol)
            paused.set()

        monkeypatch.setattr(Protocol, "pause_writing", pause_writing)
        return paused

    @pytest.mark.parametrize("more", [b"", NEXT, HALF, b"GET / HT"])
    async def test_answer_that_is_not_taken(self, paused, more):
        """
        Who does not take an answer is not waited for, whatever else is asked meanwhile.
        """
        async with (
            listening(replace(PATIENT, body=SOON_S)) as (address, connections),
            Connection.to(address) as connection,
        ):
            connection.writer.transport.pause_reading()
            connection.send(GET_LARGE)
            await paused.wait()
            connection.send(more)

            async with asyncio.timeout(WAIT_S):
                while connections.open:  # noqa: ASYNC110 -- there is no event for it
                    await asyncio.sleep(0.01)

    async def test_half_a_body_behind_an_answer(self, paused):
        """
        A body that began before an answer was taken has to come in time like any other.
        """
        async with (
            listening(replace(PATIENT, body=1)) as (address, _),
            Connection.to(address) as connection,
        ):
            connection.writer.transport.pause_reading()
            connection.send(GET_LARGE)
            await paused.wait()
            connection.send(HALF)
            connection.writer.transport.resume_reading()

            async with asyncio.timeout(WAIT_S):
                taken = await connection.reader.read()
            assert LARGE in taken

    async def test_in_time(self):
        """
        What comes in pieces, but in time, is answered like anything else, again and again.
        """
        times = Times(head=2, body=2, idle=2)
        async with listening(times) as (address, _), Connection.to(address) as connection:
            for number in range(5):
                for piece in (
                    b"POST /a HT",
                    b"TP/1.1\r\nHost: x\r\nContent-Length: 4\r\n",
                    b"\r\nab",
                ):
                    connection.send(piece)
                    await asyncio.sleep(0.01)
                connection.send(b"c%d" % number)

                assert {"path": "/a", "body": f"abc{number}"} == (await connection.answer())[2]


class TestTooMany:
    async def test_refused(self):
        """
        Beyond the limit connections are answered with 503 and closed; those that are open are
        answered as before, and once one has ended there is room for another.
        """
        async with listening(limit=2) as (address, _), Connection.to(address) as first:
            async with Connection.to(address) as second, Connection.to(address) as third:
                status, headers, body = await third.answer()
                first.send(NEXT)
                second.send(NEXT)

                assert (503, "unavailable") == (status, body["code"])
                assert "1" == headers["retry-after"]
                assert await third.is_closed()
                assert [200, 200] == [(await first.answer())[0], (await second.answer())[0]]
            async with Connection.to(address) as fourth:
                fourth.send(NEXT)

                assert 200 == (await fourth.answer())[0]

    @pytest.mark.parametrize(
        ("proxies", "status"), [((), 503), ((ip_network("127.0.0.0/8"),), 200)]
    )
    async def test_of_one_address(self, proxies, status):
        """
        One address may have fewer than all; proxies may have them all.
        """
        async with (
            listening(limit_per_address=1, proxies=proxies) as (address, _),
            Connection.to(address) as first,
            Connection.to(address) as second,
        ):
            first.send(NEXT)
            second.send(NEXT)

            assert [200, status] == [(await first.answer())[0], (await second.answer())[0]]

    def test_addresses(self):
        """
        An address is told from networks of either kind, also where it is written as the other.
        """
        networks = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))

        assert is_within("10.1.2.3", networks)
        assert is_within("::ffff:10.1.2.3", networks)
        assert is_within("fd00::1", networks)
        assert not is_within("11.0.0.1", networks)
        assert not is_within("", networks)
        assert not is_within("10.1.2.3", ())
