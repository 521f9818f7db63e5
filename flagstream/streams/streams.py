"""All streams of a process: who is open, what is told, and that it is told."""

import asyncio
import logging
from collections.abc import Callable

from flagstream.ports import Catalog, Changes, ChangeSource, StateView
from flagstream.slices import in_slices

from .connections import Connection, Connections
from .feed import ChangeFeed
from .watches import Watches

logger = logging.getLogger(__name__)

# Between two messages to a client; what changes meanwhile is told at once.
_PAUSE_S = 0.1
_REMEMBER_S = 60.0


class Streams:
    """
    Listens to changes as long as there are clients, and for a minute more.

    Attributes:
        connections: That are open.
        feed: Of backends.
        watches: Of pages.
        is_ready: Whether requests are answered; where not, streams end.
    """

    def __init__(
        self,
        source: ChangeSource,
        catalog: Catalog,
        view: StateView,
        is_ready: Callable[[], bool],
        *,
        max_per_project: int,
    ) -> None:
        self.connections = Connections(max_per_project)
        self.feed = ChangeFeed(catalog, view)
        self.watches = Watches()
        self._source = source
        self.is_ready = is_ready
        self._stop: Callable[[], None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._noted = asyncio.Event()

    def open(
        self, project_id: int, abort: Callable[[], None], *, is_public: bool = False
    ) -> Connection:
        """
        Let a client in, as :meth:`Connections.open`, and take notice of changes from now on.

        Raises:
            OverloadedError: The project has as many streams as it may.
            UnavailableError: The server is stopping.
        """
        connection = self.connections.open(project_id, abort, is_public=is_public)
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._stop is None:
            self._stop = self._source.listen(self._note)
            self._telling = asyncio.create_task(self._tell(), name="streams")
        return connection

    def close(self, connection: Connection) -> None:
        """Forget a client that has gone."""
        self.connections.close(connection)
        if not len(self.connections) and self._stop is not None:
            self._rest = asyncio.get_running_loop().call_later(_REMEMBER_S, self._end)

    async def end(self) -> None:
        """End all streams, and let nobody in any more."""
        self.connections.end(for_good=True)
        self._end()

    def _end(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
        if self._stop is not None and self._telling is not None:
            self._stop()
            self._telling.cancel()
            self._stop = self._telling = None
        self.feed.forget()

    def _note(self, changes: Changes) -> None:
        self.feed.note(changes)
        self.watches.note(changes)
        self._noted.set()

    async def _tell(self) -> None:
        while True:
            await self._noted.wait()
            self._noted.clear()
            if not self.is_ready():
                # What these clients want to know, another node knows.
                self.connections.end(for_good=False)
                continue
            try:
                await in_slices(self.feed.flush())
            except Exception:
                # Whatever one change brings along, the next ones are told.
                logger.exception("a change was not told")
                self.feed.resync()
            await in_slices(self.watches.flush())
            await asyncio.sleep(_PAUSE_S)
