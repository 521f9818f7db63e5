"""How far a reader has to be to see what a writer wrote, on whichever node either asks."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from aiohttp import web
from multidict import istr

from flagstream.errors import InvalidRequestError, quote
from flagstream.ports import Position, Progress, TopicPartition
from flagstream.topics import Table

POSITION = istr("X-Flagstream-Position")
"""``TABLE.PARTITION.OFFSET``, one or more, with commas between them."""
STALE = istr("X-Flagstream-Stale")
"""How many milliseconds were waited for the position in vain."""
POSITION_HEADER = {str(POSITION): "How far a node has to be to answer flags from what was written."}

_TABLES = {table.source.value: table.value for table in Table}
_SOURCES = {name: source for source, name in _TABLES.items()}
_MAX_PARTITIONS = 256  # so that the line is one that every HTTP server takes
_NAME = re.compile(r"(?P<table>[a-z-]+)\.(?P<partition>\d{1,4})\.(?P<offset>\d{1,15})", re.ASCII)


def written(positions: Iterable[Position]) -> str | None:
    """
    Write the header of an answer to who wrote records; None where no state follows from them.

    None as well for more partitions than a line can name: who sends so much at once has ``wait=1``.
    """
    last: dict[TopicPartition, int] = {}
    for position in positions:
        if position.topic in _TABLES:
            place = position.topic_partition
            last[place] = max(position.offset, last.get(place, 0))
    if not 0 < len(last) <= _MAX_PARTITIONS:
        return None
    return ",".join(
        f"{_TABLES[place.topic]}.{place.partition}.{offset}" for place, offset in last.items()
    )


def positioned(response: web.Response, positions: Iterable[Position]) -> web.Response:
    """Say in the answer to who wrote records how far a node has to be to answer flags from them."""
    if (position := written(positions)) is not None:
        response.headers[POSITION] = position
    return response


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUp:
    """
    Waits for positions that requests name.

    Attributes:
        partitions: That a topic has.
        timeout_s: How long a request waits at most.
    """

    progress: Progress
    partitions: int
    timeout_s: float

    async def to(self, header: str) -> int | None:
        """
        Wait until the views are as far as a header says.

        Returns:
            None once they are; else the milliseconds that were waited, after which what is
            answered may miss changes that are at least as old.

        Raises:
            InvalidRequestError: It is no header that a node has written.
        """
        names = header.split(",", _MAX_PARTITIONS - 1)
        positions = [_position(name, self.partitions) for name in names]
        began_s = monotonic()
        if await self.progress.wait_visible(positions, self.timeout_s):
            return None
        return round((monotonic() - began_s) * 1_000)


def _position(name: str, partitions: int) -> Position:
    found = _NAME.fullmatch(name.strip())
    if found is not None and found["table"] in _SOURCES and int(found["partition"]) < partitions:
        source = _SOURCES[found["table"]]
        return Position(source, int(found["partition"]), int(found["offset"]))
    raise InvalidRequestError(
        f"{POSITION}: expected what an answer to events said, got {quote(name)}", attr=POSITION
    )
