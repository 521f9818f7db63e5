"""Watches what the workers' group commits, and how long partitions stand still."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from flagstream.errors import LogError
from flagstream.ports import TopicPartition
from flagstream.settings import Settings
from flagstream.topics import Table
from flagstream.transport.kafka import KafkaReader
from flagstream.transport.kafka_connection import connection
from tests.chaos.cluster import PARTITIONS

SOURCE, CHANGELOG = Table.GROUPS.source.value, Table.GROUPS.changelog
PLACES = [TopicPartition(SOURCE, partition) for partition in range(PARTITIONS)]
_INTERVAL_S = 0.25
_REQUEST_TIMEOUT_MS = 2_000


def reader(url: str) -> KafkaReader:
    """Make a reader that does not wait for a broker that stands still."""
    connected = connection(Settings(broker_url=url))
    return KafkaReader({**connected, "request_timeout_ms": _REQUEST_TIMEOUT_MS}, PARTITIONS)


@dataclass
class Watch:
    """
    What was seen of the groups' partitions.

    Attributes:
        commits: Per partition each offset that was seen committed, and the end of the changelog
            right behind it.
        went_back: Commits that were lower than one before.
        pauses: By what was done last, how long a partition with a backlog stood still, in seconds.
        backlogs: By what was done last, the most records that were not committed.
    """

    url: str
    commits: dict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    went_back: list[str] = field(default_factory=list)
    pauses: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    backlogs: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    doing: str = "start"

    def __post_init__(self) -> None:
        self._latest: dict[TopicPartition, int] = {}
        self._moved_s: dict[TopicPartition, float] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch meanwhile."""
        self._moved_s.clear()
        watching = asyncio.create_task(self._run())
        try:
            yield
        finally:
            # One that has ended by itself has seen nothing since: its error is ours.
            if not watching.done():
                watching.cancel()
                await asyncio.wait({watching})
            else:
                await watching

    async def _run(self) -> None:
        while True:
            try:
                async with reader(self.url) as log:
                    while True:
                        await self._look(log)
                        await asyncio.sleep(_INTERVAL_S)
            except LogError:
                await asyncio.sleep(_INTERVAL_S)

    async def _look(self, log: KafkaReader) -> None:
        committed = await log.committed(PLACES)
        bounds = await log.bounds([SOURCE, CHANGELOG])
        now_s = time.monotonic()
        for place, offset in committed.items():
            before = self._latest.get(place, 0)
            if offset < before:
                self.went_back.append(f"{place}: {before} to {offset}")
            end = bounds[TopicPartition(CHANGELOG, place.partition)][1]
            self.commits[place.partition].setdefault(offset, end)
            self._latest[place] = max(before, offset)
            if offset > before or offset >= bounds[place][1]:
                self._moved_s[place] = now_s
            paused_s = now_s - self._moved_s.setdefault(place, now_s)
            self.pauses[self.doing] = max(self.pauses[self.doing], paused_s)
        behind = sum(bounds[place][1] - offset for place, offset in committed.items())
        self.backlogs[self.doing] = max(self.backlogs[self.doing], behind)

    def backlog(self, ends: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        """Count, by partition, what was not seen committed of everything before *ends*."""
        return {place: max(end - self._latest.get(place, 0), 0) for place, end in ends.items()}
