"""The records that one request becomes."""

from collections.abc import Sequence

from flagstream.ports import Append, Position, ProjectSnapshot, StateView
from flagstream.state.records import Record
from flagstream.topics import Topic, record_key

from .in_flight import Flight, InFlight, Mark


class Batch:
    """
    Collects the records of one request, in order, and marks what they may change.

    Attributes:
        visible_after: Positions of records that others sent and that say what this request says.
    """

    def __init__(
        self, project_id: int, view: StateView, snapshot: ProjectSnapshot, in_flight: InFlight
    ) -> None:
        self.project_id = project_id
        self.view = view
        self.snapshot = snapshot
        self.appends: list[Append] = []
        self.visible_after: list[Position] = []
        self._in_flight = in_flight
        self._marks: list[Mark | None] = []
        self._marked: set[Mark] = set()

    def add_event(self, distinct_id: str, value: bytes) -> None:
        """Add an event for the event store; no state follows from it."""
        self.appends.append(Append(Topic.EVENTS, self.key(distinct_id), value))
        self._marks.append(None)

    def add(self, mark: Mark, key: bytes, update: Record) -> Flight:
        """Add an update of what *mark* names."""
        append = Append(mark.topic, key, update.to_bytes())
        flight = self._in_flight.start(mark)
        self.appends.append(append)
        self._marks.append(mark)
        self._marked.add(mark)
        return flight

    def key(self, *parts: str) -> bytes:
        """Encode a record's key within the project."""
        return record_key(self.project_id, *parts)

    def flight(self, mark: Mark) -> Flight | None:
        """Read what is in flight, from any request."""
        return self._in_flight.get(mark)

    def is_coming(self, mark: Mark) -> bool:
        """Tell whether a record is in the log already, or goes there with this very request."""
        if mark in self._marked:
            return True
        if not self._in_flight.is_durable(mark):
            return False
        flight = self._in_flight.get(mark)
        if flight is not None and flight.last is not None:
            self.visible_after.append(flight.last)
        return True

    def land(self, positions: Sequence[Position]) -> Sequence[Position]:
        """
        Note that all records are durable.

        Returns:
            The positions from which state follows.
        """
        changes: list[Position] = []
        for mark, position in zip(self._marks, positions, strict=True):
            if mark is not None:
                self._in_flight.land(mark, position)
                changes.append(position)
        return changes

    def fail(self) -> None:
        """Note that nobody knows which of them are."""
        for mark in self._marks:
            if mark is not None:
                self._in_flight.fail(mark)
