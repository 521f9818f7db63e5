"""What is not HTTP."""

import asyncio
import json

import pytest
from aiohttp import web

from flagstream.routes.protocol import listen


@pytest.fixture
async def address():
    """The address of an application without routes."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    server = await listen(runner, "127.0.0.1", 0)

    yield server.sockets[0].getsockname()

    server.close()
    await server.wait_closed()
    await runner.cleanup()


class TestProtocol:
    @pytest.mark.parametrize(
        "sent",
        [
            b"NONSENSE\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ],
    )
    async def test_malformed_request_is_refused_like_any_other(self, address, sent):
        """
        What is not HTTP is answered with 400 in the shape of every error, and the connection ends.
        """
        reader, writer = await asyncio.open_connection(*address)
        writer.write(sent)

        answer = await asyncio.wait_for(reader.read(), 5)

        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"400" == head.split()[1]
        assert {"type", "code", "detail", "attr"} == json.loads(body).keys()
        writer.close()
        await writer.wait_closed()
