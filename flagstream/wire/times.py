"""When an event happened, freed from the client's wrong clock."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from .json_types import is_number

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_2020_MS = 1_577_836_800_000


def sent_at_ms(body: Any, query: Mapping[str, str]) -> int | None:
    """
    Read when the client says it sent the request.

    Args:
        body: Goes before the query, in which older browser clients write milliseconds.

    Returns:
        None where it says nothing readable; seconds are taken for unreadable.
    """
    if (stated := unix_ms(body)) is not None:
        return stated
    for name in ("sent_at", "_"):
        text = query.get(name, "")
        if text.isascii() and text.isdigit() and int(text[:18]) >= _2020_MS:
            return int(text[:18])
    return None


def unix_ms(text: Any) -> int | None:
    """Read an ISO 8601 time, UTC where it has no offset; None for what is none."""
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - _EPOCH) // _MILLISECOND


def event_time_ms(*, timestamp: Any, offset: Any, sent_at_ms: int | None, received_ms: int) -> int:
    """
    Correct an event's time.

    Args:
        timestamp: The client's own time of the event; unreadable counts as absent.
        offset: Milliseconds since then, of clients that send no timestamp.
        sent_at_ms: The client's time of sending; None leaves *timestamp* as it is.
    """
    stated = unix_ms(timestamp)
    if stated is not None:
        return stated if sent_at_ms is None else received_ms + stated - sent_at_ms
    if is_number(offset) and 0 <= offset <= received_ms:
        return received_ms - int(offset)
    return received_ms
