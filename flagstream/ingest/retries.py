"""Events that this process has taken lately, by uuid: a client's retry is not appended again."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from flagstream.errors import LogUnavailableError
from flagstream.ports import Position

Outcome = asyncio.Future[Sequence[Position] | None]
_MAX_EVENTS = 50_000


class Retries:
    """
    Remembers what became of the latest events.

    A retry may overtake the request that it repeats: it is answered with that one's outcome, so
    that nothing is acknowledged which is not durable.
    """

    def __init__(self) -> None:
        # Of a plain dict, finding the oldest takes ever longer once some were deleted.
        self._outcomes: OrderedDict[tuple[int, str], Outcome] = OrderedDict()

    def get(self, project_id: int, uuid: str) -> Outcome | None:
        """Read the outcome of the request that an event came with; None where it is new."""
        return self._outcomes.get((project_id, uuid))

    def add(self, project_id: int, uuid: str, outcome: Outcome) -> None:
        """Remember an event; the oldest are forgotten."""
        self._outcomes[project_id, uuid] = outcome
        if len(self._outcomes) > _MAX_EVENTS:
            self._outcomes.popitem(last=False)

    def forget(self, project_id: int, uuids: Iterable[str], outcome: Outcome) -> None:
        """Let events of a failed request be sent again."""
        for uuid in uuids:
            if self._outcomes.get((project_id, uuid)) is outcome:
                del self._outcomes[project_id, uuid]


async def settled(outcome: Outcome) -> Sequence[Position]:
    """
    Wait for another request.

    Raises:
        LogUnavailableError: It failed.
    """
    # Shielded: whoever waits may be cancelled, the outcome belongs to the other request.
    positions = await asyncio.shield(outcome)
    if positions is None:
        raise LogUnavailableError("the request that this one repeats failed")
    return positions
