"""Streams of changes of real servers: through restarts, slow readers and the end."""

import asyncio
import socket
import time
from contextlib import asynccontextmanager, suppress
from itertools import count

import aiohttp
import pytest
from yarl import URL

from tests.filters import group_filters
from tests.ofrep import PATH
from tests.server import SECRET_KEY, TOKEN
from tests.sse import EventReader
from tests.waiting import until

FLAG = "gold-only"
AUTH = {"Authorization": f"Bearer {SECRET_KEY}"}
PUBLIC = {"Authorization": f"Bearer {TOKEN}"}
STREAMS = 20
"""So that each process is all but certain to have some."""
STOP_S = 4.0
"""Half of what a stop may take: more than one without anything to wait for takes."""


@pytest.fixture(params=[0, 2], ids=["one process", "three processes"])
def server(make_server, request):
    """A running server, with a flag for gold companies."""
    server = make_server(api_processes=request.param)
    server.start()
    server.set_group("company", "acme", plan="free")
    server.create_flag(FLAG, group_filters(plan="gold"))
    return server


@asynccontextmanager
async def streams(server, number=STREAMS, **headers):
    """Open streams, each over a connection of its own."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        responses = [
            await session.get(f"{server.url}/api/stream", headers={**AUTH, **headers})
            for _ in range(number)
        ]
        try:
            assert {200} == {response.status for response in responses}
            yield [EventReader(response) for response in responses]
        finally:
            for response in responses:
                response.close()


@asynccontextmanager
async def page_streams(server, context, number=STREAMS):
    """Ask for all flags and open the stream that the answer names, each over a new connection."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(server.url, connector=connector) as session:
        responses = []
        try:
            for _ in range(number):
                async with session.post(PATH, json={"context": context}, headers=PUBLIC) as answer:
                    (stream,) = (await answer.json())["eventStreams"]
                uri = URL(stream["endpoint"]["requestUri"], encoded=True)
                responses.append(await session.get(uri))
            yield session, [EventReader(response) for response in responses]
        finally:
            for response in responses:
                response.close()


async def next_of(reader, name, **members):
    """Read the next event of a name whose data has some members."""
    while event := await reader.next():
        if event.name == name and members.items() <= event.data.items():
            return event.data
    raise AssertionError("the stream ended")


def metric(server, name):
    lines = server.request("GET", "/metrics").body.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


class TestStreams:
    async def test_every_process_tells(self, server):
        """
        Whichever process a client is connected to, it is told of every change, once each.
        """
        async with streams(server) as readers:
            for plan in ("gold", "free") * 3:
                await asyncio.to_thread(server.set_group, "company", "acme", plan=plan)
                told = await asyncio.gather(*(next_of(reader, "group") for reader in readers))

                is_on = plan == "gold"
                change = {"key": FLAG, "before": not is_on, "after": is_on}
                assert [[change]] * STREAMS == [each["flags"] for each in told]

    async def test_definitions(self, server):
        """
        So it is with definitions.
        """
        async with streams(server) as readers:
            await asyncio.to_thread(server.create_flag, "other", group_filters())
            told = [await next_of(reader, "flag", key="other") for reader in readers]

        assert [{"key": "other", "change": "added"}] * STREAMS == told

    async def test_stop(self, server):
        """
        A server that is stopped ends its streams, and is not held up by them.
        """
        async with streams(server) as readers:
            began_s = time.monotonic()
            stopping = asyncio.create_task(asyncio.to_thread(server.terminate))

            for reader in readers:
                while await reader.next() is not None:
                    pass
            assert 0 == await stopping
            assert time.monotonic() - began_s < STOP_S

    async def test_after_a_restart(self, server):
        """
        Who comes back after a kill is told to read everything.
        """
        async with streams(server, 1) as (reader,):
            last_id = await reader.started()
            server.kill()
        server.start()

        # What answered for the server that was killed may do so for another moment, and end while
        # nobody else listens yet.
        event = None
        while event is None:
            await asyncio.to_thread(until, server.is_ready)
            with suppress(aiohttp.ClientConnectorError):
                async with streams(server, 1, **{"Last-Event-ID": last_id}) as (reader,):
                    event = await reader.next()

        assert "resync" == event.name


def test_slow_reader(make_server):
    """
    Who does not read is cut off, while the others are told everything and requests are answered.
    """
    server = make_server()
    server.start()
    server.set_group("company", "acme", plan="free")
    for number in range(100):
        server.create_flag(f"{'long' * 50}-{number}", group_filters(plan="gold"))
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(
            b"GET /api/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n"
            % SECRET_KEY.encode()
        )
        until(lambda: metric(server, "flagstream_streams ") == 1)

        numbers = count()

        def is_dropped():
            for _ in range(10):
                server.set_group("company", f"company-{next(numbers)}", plan="gold")
            return metric(server, "flagstream_streams_dropped_total") == 1

        until(is_dropped, 60)
        until(lambda: metric(server, "flagstream_streams ") == 0)


async def test_pages(server):
    """
    Whichever processes a page asks, and is told by, it asks again after a change and gets it.
    """
    context = {"targetingKey": "anna", "groups": {"company": "acme"}}
    async with page_streams(server, context) as (session, readers):
        for reader in readers:
            await reader.started()
        for plan in ("gold", "free") * 3:
            await asyncio.to_thread(server.set_group, "company", "acme", plan=plan)
            for reader in readers:
                before = reader.last_id
                event = await reader.next()
                url = f"{PATH}?flagConfigEtag={event.data['etag']}"
                headers = {**PUBLIC, "If-None-Match": f'"{before}"'}
                async with session.post(url, json={"context": context}, headers=headers) as answer:
                    (flag,) = (await answer.json())["flags"]

                assert f'"{event.id}"' == answer.headers["ETag"]
                assert (plan == "gold") is flag["value"]
