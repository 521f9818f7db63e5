"""The whole application behind a connection that is none: bytes in, answers out."""

import asyncio
import logging
import re
from typing import Any

from aiohttp import web, web_fileresponse

from flagstream.api import create_app
from flagstream.routes import keys
from flagstream.routes.connections import Connections
from flagstream.routes.protocol import Protocol
from tests.fakes.world import World

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_WAIT_S = 5.0


class _Logged(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.format(record))


class _Line(asyncio.Transport):
    """What is written to it is kept."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 4321)})
        self.written = bytearray()
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def writelines(self, pieces: Any) -> None:
        for each in pieces:
            self.write(each)

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Edge:
    """An application that is asked over one connection after the other."""

    def __init__(self) -> None:
        web_fileresponse.NOSENDFILE = True  # through no socket
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._log = _Logged()
        logging.basicConfig(handlers=[self._log], force=True)
        world = World()
        flag = {"id": 1, "key": "beta", "name": "", "filters": {"groups": [{}]}, "version": 1}
        world.catalog.set_flag({**flag, "active": True, "deleted": False})
        self._connections = Connections.of(world.settings)
        app = create_app(world.services())
        self._streams = app[keys.STREAMS].connections
        runner = web.AppRunner(app, access_log=None)
        self._loop.run_until_complete(runner.setup())
        assert runner.server is not None
        self._server = runner.server

    def ask(self, raw: bytes) -> None:
        """Send bytes, and hold what is answered against what may be."""
        self._log.records.clear()
        line = _Line()
        protocol = Protocol(self._server, self._connections, self._loop)
        protocol.connection_made(line)
        protocol.data_received(raw)
        self._loop.run_until_complete(self._settle(protocol))
        protocol.connection_lost(None)
        self._loop.run_until_complete(asyncio.sleep(0))
        assert not self._log.records, self._log.records
        assert b"500" not in _STATUS.findall(line.written), bytes(line.written)
        assert not line.written or line.written.startswith(b"HTTP/1.")

    async def _settle(self, protocol: Protocol) -> None:
        """Wait until all is answered that has arrived whole; streams last no longer than that."""
        async with asyncio.timeout(_WAIT_S):
            while not _is_waiting(protocol):
                self._streams.end(for_good=False)
                await asyncio.sleep(0)


def _is_waiting(protocol: Protocol) -> bool:
    if protocol.transport is None or not protocol._request_in_progress:
        return not protocol._messages or protocol.transport is None
    return not protocol._body.is_eof()
