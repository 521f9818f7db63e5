"""Events, as they are read back."""

from msgspec import Struct

from .common import CursorPage, Properties, Time


class StoredEvent(Struct, kw_only=True):
    """
    An event as it was accepted.

    Attributes:
        timestamp: When it happened, corrected by the time of sending.
        groups: Key by type.
    """

    id: str
    uuid: str
    event: str
    distinct_id: str
    timestamp: Time
    received_at: Time
    properties: Properties
    groups: dict[str, str]
    session_id: str | None


class StoredEvents(CursorPage[StoredEvent]):
    """A page of events, the one that was accepted last first."""
