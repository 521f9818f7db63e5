"""Changes of definitions, one after the other in whichever API process they are made."""

import asyncio
import fcntl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from flagstream.errors import UnavailableError
from flagstream.ports import Position, TopicReader
from flagstream.topics import Topic

_RETRY_S = 0.005


class Turns:
    """A lock on a file, which the system gives back for a process that is killed."""

    def __init__(self, path: Path, reader: TopicReader, timeout_s: float) -> None:
        self._path = path
        self._reader = reader
        self._timeout_s = timeout_s

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Sequence[Position]]:
        """
        Keep the other processes out.

        Yields:
            The last definitions of the log, on top of which a change is to be made.

        Raises:
            UnavailableError: Others take too long.
            LogUnavailableError: The log cannot be read, or the worker is gone.
        """
        # Of each turn its own: the lock is the open file's.
        with self._path.open("wb") as file:
            await self._locked(file)
            bounds = await self._reader.bounds([Topic.DEFINITIONS])
            yield [Position(*place, end - 1) for place, (_, end) in bounds.items() if end]

    async def _locked(self, file: IO[bytes]) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                while not _try_lock(file):  # noqa: ASYNC110 -- other processes do not tell
                    await asyncio.sleep(_RETRY_S)
        except TimeoutError:
            raise UnavailableError("Another change is under way.", retry_after_s=1) from None


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
