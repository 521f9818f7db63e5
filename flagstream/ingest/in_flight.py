"""Records that are sent, or being sent, and that the views do not show yet."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from flagstream.errors import OverloadedError
from flagstream.ports import Position, Progress
from flagstream.state.persons import PersonState, PersonUpdate, fold_person
from flagstream.state.records import Record
from flagstream.topics import Topic


class Mark(NamedTuple):
    """
    What a record may change.

    Attributes:
        part: Tells apart what lies under one key.
    """

    topic: Topic
    key: bytes
    part: str = ""


@dataclass(slots=True)
class Flight:
    """
    The records of one mark.

    Attributes:
        pending: How many are being appended.
        last: The latest that is durable; None where that is unknown, as after a failure.
        person: What those that are durable say of a person. Nothing may be built on the others:
            whoever does is told that it is durable, and then they fail.
    """

    pending: int = 0
    last: Position | None = None
    person: PersonState | None = None


class InFlight:
    """
    Tells whether a view may be trusted: only where nothing is in flight.

    A mark is set while planning, before the record is appended: else a request beside it could
    take the view's old state for the last one. After a failed append nobody knows whether the
    record is in the log, so the mark stays until a later record of the same mark is visible.
    """

    def __init__(self, progress: Progress, limit: int = 100_000) -> None:
        self._progress = progress
        self._limit = limit
        self._flights: OrderedDict[Mark, Flight] = OrderedDict()

    def get(self, mark: Mark) -> Flight | None:
        """Read what is in flight; None where the view shows everything."""
        flight = self._flights.get(mark)
        if flight is not None:
            if self._is_flying(flight):
                return flight
            del self._flights[mark]
        # What others have sent is not known, only that the view does not show it.
        return None if self._progress.is_settled(mark.topic, mark.key) else Flight()

    def is_durable(self, mark: Mark) -> bool:
        """Tell whether a record is in the log for certain, though not in the view yet."""
        flight = self.get(mark)
        return flight is not None and not flight.pending and flight.last is not None

    def start(self, mark: Mark) -> Flight:
        """
        Note that a record is going to be appended.

        Raises:
            OverloadedError: Too much is in flight.
        """
        self._forget_oldest()
        flight = self.get(mark) or Flight()
        flight.pending += 1
        # To the end, so that the oldest stay in front.
        self._flights.pop(mark, None)
        self._flights[mark] = flight
        return flight

    def land(self, mark: Mark, position: Position, update: Record | None = None) -> None:
        """Note that it is durable."""
        flight = self._flights[mark]
        flight.pending -= 1
        if flight.last is None or position.offset > flight.last.offset:
            flight.last = position
        if isinstance(update, PersonUpdate):
            flight.person = fold_person(flight.person, update, position.offset)

    def fail(self, mark: Mark) -> None:
        """Note that nobody knows whether it is."""
        flight = self._flights[mark]
        flight.pending -= 1
        flight.last = None

    def _is_flying(self, flight: Flight) -> bool:
        return (
            flight.pending > 0 or flight.last is None or not self._progress.is_visible(flight.last)
        )

    def _forget_oldest(self) -> None:
        """Drop two where one comes in, so that the rest is cleaned up step by step."""
        for _ in range(2):
            mark = next(iter(self._flights), None)
            if mark is None:
                return
            flight = self._flights[mark]
            is_crowded = len(self._flights) >= self._limit
            is_unknown = not flight.pending and flight.last is None
            if not self._is_flying(flight) or (is_crowded and is_unknown):
                del self._flights[mark]
            elif is_crowded:
                raise OverloadedError("Too many changes are in flight.", retry_after_s=1)
