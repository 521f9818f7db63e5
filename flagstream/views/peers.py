"""What the workers of other processes have done, as far as the log tells."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from flagstream.errors import LogError
from flagstream.ports import LogReader, TopicPartition
from flagstream.topics import Table

from .progress import Watermarks

logger = logging.getLogger(__name__)

_INTERVAL_S = 0.1
_CHANGELOGS = {table.source.value: table.changelog for table in Table}


class _Goal(NamedTuple):
    """Everything before *offset* was folded; it shows once *changelog_end* is followed."""

    offset: int
    changelog_end: int


class Peers:
    """
    Tells :class:`Watermarks` what it does not hear from agents of its own.

    Most of what other workers have folded shows in their changelogs. For the rest, records that
    changed nothing, it asks for the offsets that they have committed: whatever was folded before
    a commit is in the changelog by then, so it is in the views once these are that far.
    """

    def __init__(
        self,
        reader: LogReader,
        progress: Watermarks,
        is_followed: Callable[[TopicPartition, int], bool],
    ) -> None:
        """
        Prepare; :meth:`run` does the work.

        Args:
            is_followed: Tells whether a changelog partition is in the views up to an offset.
        """
        self._reader = reader
        self._progress = progress
        self._is_followed = is_followed
        self._unsettled: Mapping[TopicPartition, int] = {}
        self._goals: dict[TopicPartition, _Goal] = {}

    async def run(self) -> None:
        """Look again and again."""
        while True:
            try:
                await self._look()
            except LogError as error:
                logger.warning("how far others are is not known", extra={"detail": str(error)})
            await asyncio.sleep(_INTERVAL_S)

    async def _look(self) -> None:
        bounds = await self._reader.bounds(list(_CHANGELOGS))
        self._progress.ends({place: end for place, (_, end) in bounds.items()})
        before, self._unsettled = self._unsettled, self._progress.unsettled()
        # Most move by themselves, as changes come in.
        stuck = {place for place, folded in self._unsettled.items() if before.get(place) == folded}
        if unknown := stuck - self._goals.keys():
            await self._ask(unknown)
        self._settle()

    async def _ask(self, places: Collection[TopicPartition]) -> None:
        committed = await self._reader.committed(places)
        # Only now: what was folded before these commits is before these ends.
        ends = await self._reader.bounds(sorted({_CHANGELOGS[place.topic] for place in places}))
        for place, offset in committed.items():
            if offset > self._unsettled[place]:
                self._goals[place] = _Goal(offset, ends[_changelog(place)][1])

    def _settle(self) -> None:
        for place, goal in list(self._goals.items()):
            if self._is_followed(_changelog(place), goal.changelog_end):
                del self._goals[place]
                self._progress.settled(place, goal.offset)


def _changelog(place: TopicPartition) -> TopicPartition:
    return TopicPartition(_CHANGELOGS[place.topic], place.partition)
