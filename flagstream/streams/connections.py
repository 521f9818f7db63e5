"""Connections that stay open: what waits to be sent is bounded, and so is how many there are."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from flagstream.errors import OverloadedError, UnavailableError
from flagstream.telemetry import STREAMS, STREAMS_DROPPED

MAX_WAITING_BYTES = 256 * 1024
"""For a backend; to a page little is ever said."""
_MAX_WAITING_BYTES_OF_PAGES = 4 * 1024
_RETRY_AFTER_S = 30


class Connection:
    """
    One client, to which somebody sends while somebody else writes it down the line.

    Attributes:
        is_public: Of a page, or whoever else holds no secret key.
    """

    def __init__(
        self, project_id: int, abort: Callable[[], None], *, is_public: bool = False
    ) -> None:
        """
        Begin.

        Args:
            abort: Called where the client does not read: whoever writes to it waits in vain.
        """
        self.project_id = project_id
        self.is_public = is_public
        self._max_bytes = _MAX_WAITING_BYTES_OF_PAGES if is_public else MAX_WAITING_BYTES
        self._abort = abort
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._is_over = False
        self._awake = asyncio.Event()

    def send(self, chunk: bytes) -> None:
        """Send, without waiting; a client that has not read enough is dropped."""
        if self._is_over:
            return
        self._waiting.append(chunk)
        self._waiting_bytes += len(chunk)
        self._awake.set()
        if self._waiting_bytes > self._max_bytes:
            STREAMS_DROPPED.inc()
            self._waiting.clear()
            self.end()
            self._abort()

    def end(self) -> None:
        """Send what waits, and nothing more."""
        self._is_over = True
        self._awake.set()

    async def receive(self, timeout_s: float) -> bytes | None:
        """
        Wait for what is to be written.

        Returns:
            All that waits; empty once *timeout_s* has passed, None where nothing more will come.
        """
        if not self._waiting and not self._is_over:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._awake.wait()
            except TimeoutError:
                return b""
        if not self._waiting:
            return None
        chunk = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        if not self._is_over:
            self._awake.clear()
        return chunk


class Connections:
    """All that are open; pages take nothing away from backends."""

    def __init__(self, max_per_project: int) -> None:
        self._max_per_project = max_per_project
        self._open: defaultdict[tuple[int, bool], set[Connection]] = defaultdict(set)
        self._is_over = False

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    def open(
        self, project_id: int, abort: Callable[[], None], *, is_public: bool = False
    ) -> Connection:
        """
        Let a client in; :meth:`close` has to follow.

        Raises:
            OverloadedError: The project has as many as it may.
            UnavailableError: The server is stopping.
        """
        if self._is_over:
            raise UnavailableError("The server is stopping.", retry_after_s=1)
        mine = self._open[project_id, is_public]
        if len(mine) >= self._max_per_project:
            detail = f"The project has {len(mine)} streams open here, which is as many as it may."
            raise OverloadedError(detail, retry_after_s=_RETRY_AFTER_S)
        connection = Connection(project_id, abort, is_public=is_public)
        mine.add(connection)
        STREAMS.inc()
        return connection

    def close(self, connection: Connection) -> None:
        """Forget one that has ended."""
        account = (connection.project_id, connection.is_public)
        self._open[account].remove(connection)
        STREAMS.dec()
        if not self._open[account]:
            del self._open[account]

    def end(self, *, for_good: bool) -> None:
        """
        End all that are open; their clients come back by themselves.

        Args:
            for_good: Let nobody in any more.
        """
        self._is_over = for_good
        for mine in self._open.values():
            for connection in mine:
                connection.end()
