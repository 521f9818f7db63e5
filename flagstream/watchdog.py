"""Whether a worker moves: one that hangs is noticed, and started again from outside."""

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Mapping
from collections.abc import Set as AbstractSet

from flagstream.errors import LogError
from flagstream.ports import LogReader, TopicPartition
from flagstream.topics import Table

logger = logging.getLogger(__name__)

_LOOKS = 12  # within the limit
_SOURCES = [table.source.value for table in Table]


class Watchdog:
    """
    Watches what a worker commits of the partitions that it is assigned.

    It hangs if a partition with a backlog stays where it is, though the log answers and no table
    is being recovered meanwhile. Which part hangs does not matter: a commit comes after them all.
    """

    def __init__(
        self,
        reader: LogReader,
        owned: Callable[[], AbstractSet[TopicPartition]],
        recovered: Callable[[], Hashable],
        *,
        limit_s: float,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Prepare; :meth:`run` does the work.

        Args:
            owned: The partitions that this worker is assigned now, changelogs among them.
            recovered: How far recovery is; another value whenever it moves.
            limit_s: Longest time that a partition may stay where it is.
        """
        self._reader = reader
        self._owned = owned
        self._recovered = recovered
        self._limit_s = limit_s
        self._clock_s = clock_s
        self._before: Hashable = None
        self._since_s: dict[tuple[TopicPartition, int], float] = {}

    def is_alive(self) -> bool:
        """Tell whether every partition that has a backlog has moved lately."""
        oldest_s = self._clock_s() - self._limit_s
        return all(since_s > oldest_s for since_s in self._since_s.values())

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await self.look()
            if not self.is_alive():
                logger.error("a partition with a backlog stands still", extra=self._stuck())
            await asyncio.sleep(self._limit_s / _LOOKS)

    async def look(self) -> None:
        """Note what stays where it was at the last look."""
        try:
            behind = await self._behind()
        except LogError:
            # Nobody moves without the log, and to be started again would not help.
            behind = {}
        recovered = self._recovered()
        if recovered != self._before:
            self._before = recovered
            self._since_s.clear()
        now_s = self._clock_s()
        self._since_s = {at: self._since_s.get(at, now_s) for at in behind.items()}

    def _stuck(self) -> Mapping[str, str]:
        place, offset = min(self._since_s, key=self._since_s.__getitem__)
        return {"topic": place.topic, "partition": str(place.partition), "offset": str(offset)}

    async def _behind(self) -> Mapping[TopicPartition, int]:
        """Read where each partition with a backlog is."""
        bounds = await self._reader.bounds(_SOURCES)
        owned = self._owned() & bounds.keys()
        committed = await self._reader.committed(owned)
        starts = {place: max(committed.get(place, 0), bounds[place][0]) for place in owned}
        return {place: start for place, start in starts.items() if start < bounds[place][1]}
