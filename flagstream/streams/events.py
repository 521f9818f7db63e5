"""
Server-sent events.

Source:
    HTML Living Standard, 9.2, Server-sent events.
"""

from random import randrange

HEARTBEAT = b":\n\n"
"""A comment, by which neither side, nor a proxy between them, takes the connection for dead."""
_RETRY_MS = (1_000, 5_000)


def event(data: bytes, *, name: str = "", event_id: str = "") -> bytes:
    """
    Encode an event.

    Args:
        data: Without line breaks.
        name: "" for ``message``, which is what a browser calls an event without a name.
        event_id: What a client says when it comes back; "" leaves that as it is.
    """
    return b"%b%bdata: %b\n\n" % (_field("id", event_id), _field("event", name), data)


def start(event_id: str = "") -> bytes:
    """
    Encode how a stream begins.

    When its client comes back is drawn, so that all of a server's do not come at the same moment.

    Args:
        event_id: Where the client is, before the first event.
    """
    retry_ms = str(randrange(*_RETRY_MS))  # noqa: S311 -- nobody gains by knowing it
    return _field("retry", retry_ms) + _field("id", event_id) + b"\n"


def _field(name: str, value: str) -> bytes:
    return f"{name}: {value}\n".encode() if value else b""
