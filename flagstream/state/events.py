"""An accepted event, as the event store gets it."""

from typing import Any

from .records import Record


class EventRecord(Record, frozen=True):
    """
    What a client captured.

    Attributes:
        uuid: Of the event; a client's retry carries the same.
        event: Its name.
        time_ms: Corrected for the client's clock; may be wrong, even in the future.
        properties: As sent, also groups of types that have no index.
        groups: Key by type; a number is its text.
    """

    uuid: str
    event: str
    distinct_id: str
    time_ms: int
    received_ms: int
    session_id: str | None = None
    groups: dict[str, str] = {}
    properties: dict[str, Any] = {}
