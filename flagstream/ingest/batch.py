"""The records that one request becomes."""

from collections.abc import Sequence
from typing import NamedTuple

from flagstream.ports import Append, Position, ProjectSnapshot, StateView
from flagstream.state.persons import PersonState, PersonUpdate, fold_person
from flagstream.state.records import Record
from flagstream.topics import Topic, record_key

from .in_flight import Flight, InFlight, Mark


class _Change(NamedTuple):
    mark: Mark
    update: Record


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
        self._changes: list[_Change | None] = []
        self._marked: set[Mark] = set()
        self._persons: dict[Mark, PersonState] = {}

    def add_event(self, distinct_id: str, value: bytes) -> None:
        """Add an event for the event store; no state follows from it."""
        self.appends.append(Append(Topic.EVENTS, self.key(distinct_id), value))
        self._changes.append(None)

    def add(self, mark: Mark, key: bytes, update: Record) -> None:
        """Add an update of what *mark* names."""
        append = Append(mark.topic, key, update.to_bytes())
        self._in_flight.start(mark)
        self.appends.append(append)
        self._changes.append(_Change(mark, update))
        self._marked.add(mark)
        if isinstance(update, PersonUpdate):
            before = self.coming_person(mark)
            version = 0 if before is None else before.version + 1
            self._persons[mark] = fold_person(before, update, version)

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

    def coming_person(self, mark: Mark) -> PersonState | None:
        """Read what this request, and what is durable, says of a person before the view does."""
        own = self._persons.get(mark) if self._persons else None
        if own is not None:
            return own
        flight = self.flight(mark)
        return None if flight is None else flight.person

    def land(self, positions: Sequence[Position]) -> Sequence[Position]:
        """
        Note that all records are durable.

        Returns:
            The positions from which state follows.
        """
        changes: list[Position] = []
        for change, position in zip(self._changes, positions, strict=True):
            if change is not None:
                self._in_flight.land(change.mark, position, change.update)
                changes.append(position)
        return changes

    def fail(self) -> None:
        """Note that nobody knows which of them are."""
        for change in self._changes:
            if change is not None:
                self._in_flight.fail(change.mark)
