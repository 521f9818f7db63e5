"""Connections that stay open, and what is sent over them."""

import asyncio

import pytest

from flagstream.errors import OverloadedError, UnavailableError
from flagstream.streams.connections import MAX_WAITING_BYTES, Connection, Connections


@pytest.fixture
def aborted():
    return []


@pytest.fixture
def connection(aborted):
    return Connection(1, lambda: aborted.append(True))


class TestConnection:
    async def test_what_waits_is_one_piece(self, connection):
        """
        What was sent before somebody reads is written at once, in its order.
        """
        connection.send(b"a")
        connection.send(b"b")

        assert b"ab" == await connection.receive(1)

    async def test_wakes_who_waits(self, connection):
        """
        Who waits is given what is sent, and then waits again.
        """
        waiting = asyncio.create_task(connection.receive(10))
        await asyncio.sleep(0)
        connection.send(b"a")

        assert b"a" == await waiting
        assert b"" == await connection.receive(0.001)

    async def test_end(self, connection):
        """
        What was sent before the end is written, and nothing more.
        """
        connection.send(b"a")
        connection.end()
        connection.send(b"b")

        assert [b"a", None] == [await connection.receive(1) for _ in range(2)]

    async def test_slow_reader(self, connection, aborted):
        """
        Who does not read is cut off, and nothing is kept for them.
        """
        for _ in range(3):
            connection.send(b"x" * (MAX_WAITING_BYTES // 2))

        assert [True] == aborted
        assert await connection.receive(1) is None


class TestConnections:
    def test_limit(self):
        """
        A project has so many and no more, whatever others have.
        """
        connections = Connections(2)
        first, _ = [connections.open(1, bool) for _ in range(2)]

        with pytest.raises(OverloadedError):
            connections.open(1, bool)
        connections.open(2, bool)
        connections.close(first)
        connections.open(1, bool)

        assert 3 == len(connections)

    async def test_end(self):
        """
        At the end all end, and nobody is let in.
        """
        connections = Connections(2)
        connection = connections.open(1, bool)

        connections.end(for_good=True)

        assert await connection.receive(1) is None
        with pytest.raises(UnavailableError):
            connections.open(1, bool)
