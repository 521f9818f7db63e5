"""The read side of an API process: the worker's views, as far as the worker has told."""

import asyncio
import logging
import math
from pathlib import Path
from time import monotonic
from typing import Any

from flagstream import telemetry
from flagstream.errors import LogError, ViewError
from flagstream.settings import Settings
from flagstream.views import Marks, Readers, ViewReplica, Watermarks, views_path

from .channel import Channel
from .messages import AwaitAnswers, News, ReadMetrics, Request, Told

logger = logging.getLogger(__name__)

_RETRY_S = 1.0


class ReplicaSide:
    """
    Takes in what the worker tells: first the views, then whoever reads them, last who waits.

    Attributes:
        state: Implements :class:`flagstream.ports.StateView`.
        catalog: Implements :class:`flagstream.ports.Catalog`.
        access: Implements :class:`flagstream.ports.Projects` and ``SecretKeys``.
        changes: Implements :class:`flagstream.ports.ChangeSource`.
        progress: Implements :class:`flagstream.ports.Progress` and ``Admission``.
        caught_up: Set once everything can be read that the worker had when it was first heard of.
        is_listening: Set by whoever listens for requests.
        is_told: Whether the worker lets requests in, so that others may answer already.
    """

    def __init__(self, settings: Settings, own_path: Path) -> None:
        """
        Prepare; :meth:`run` does the work.

        Args:
            own_path: Directory for what RocksDB writes about this process's replica.
        """
        self._replica = ViewReplica(views_path(settings), own_path)
        self._readers = Readers(settings, self._replica)
        self.state, self.catalog = self._readers.state, self._readers.catalog
        self.access = self._readers.access
        self.changes = self._readers.changes
        self.progress = Watermarks.of(settings)
        self.caught_up = asyncio.Event()
        self.is_listening = asyncio.Event()
        self.is_told = False
        self._told = asyncio.Event()
        self._stale: set[bytes] = set()
        self._projects: set[int] = set()
        self._replaced: dict[bytes, bytes | None] = {}
        self._marks: dict[tuple[str, int], Marks] = {}
        self._is_worker_open = False
        self._is_stuck = False
        self._is_orphaned = False
        self._orphaned_s = math.inf

    @property
    def is_ready(self) -> bool:
        """Whether requests are answered: also from the views of a worker that is gone."""
        is_open = self.progress.is_open or self._is_orphaned
        return self._readers.is_compiled and is_open and not self._is_stuck

    @property
    def view_age_s(self) -> float:
        """How old what requests read is, at most; it grows without a worker."""
        return max(self.progress.view_age_s, monotonic() - self._orphaned_s)

    def told(self, channel: Channel, message: Told) -> None:  # noqa: ARG002 -- as every side
        """Note what the views do not show yet, at once; the rest as soon as it can be read."""
        if isinstance(message, News):
            self._note(message)

    def _note(self, message: News) -> None:
        for key, position in message.landed:
            self.progress.landed(key, position)
        # Of a key that waits, what was before is what was before all that waits, if it was told.
        fresh = ((key, before) for key, before in message.replaced if key not in self._stale)
        self._replaced.update(fresh)
        self._stale.update(message.stale)
        self._projects.update(message.projects)
        self._marks.update(((each.topic, each.partition), each) for each in message.marks)
        self._is_worker_open = message.is_open
        self.is_told = True
        self._told.set()

    async def answer(self, channel: Channel, request: Request) -> Any:  # noqa: ARG002 -- as every side
        """
        Tell the worker how this process is.

        Raises:
            LogError: The worker asks for what it has itself.
        """
        match request:
            case ReadMetrics():
                return telemetry.exposition()
            case AwaitAnswers():
                await self.is_listening.wait()
                await self.caught_up.wait()
                return None
            case _:
                raise LogError(f"an API process has no {type(request).__name__}")

    async def run(self) -> None:
        """Take in what is told, for ever; what comes meanwhile is taken in as one."""
        while True:
            await self._told.wait()
            self._told.clear()
            await self._take_in()

    def orphan(self) -> None:
        """Take no more events: the worker is gone. What was read last goes on to be answered."""
        self._is_orphaned = True
        self._orphaned_s = monotonic()
        self.progress.close()

    def close(self) -> None:
        """Close the views."""
        self._replica.close()

    async def _take_in(self) -> None:
        stale, projects, marks = self._stale, self._projects, self._marks
        replaced, self._replaced = self._replaced, {}
        self._stale, self._projects, self._marks = set(), set(), {}
        if not self._readers.is_compiled:
            await self._reopened()
            await self._readers.compile()
        elif stale:
            await self._catch_up()
            await self._readers.changed(stale, projects, replaced)
        self.progress.join(marks.values())
        if self._is_worker_open and not self._is_orphaned:
            self.progress.open()
        else:
            self.progress.close()
        self.caught_up.set()

    async def _catch_up(self) -> None:
        try:
            self._replica.catch_up()
        except ViewError as error:
            logger.warning("views cannot be read", extra={"detail": str(error)})
            await self._reopened()

    async def _reopened(self) -> None:
        while not self._replica.recover():
            self._is_stuck = True
            await asyncio.sleep(_RETRY_S)
        self._is_stuck = False
