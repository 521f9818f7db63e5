"""Sessions that nobody has used for long are forgotten, so that state stays bounded."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice

from flagstream.errors import LogUnavailableError
from flagstream.ports import Append, RecordSink
from flagstream.state.sessions import SessionState, SessionUpdate
from flagstream.topics import Topic

_SLICE = 200
_PAUSE_S = 0.1

# Encoded sessions behind a key, in the order of their keys.
StoredSessions = Callable[[bytes], Iterator[tuple[bytes, bytes]]]


async def forget_sessions(sessions: StoredSessions, sink: RecordSink, before_ms: int) -> int:
    """
    Append an expiry for every session whose latest map is older than *before_ms*.

    The expiry carries that map's time, so a session that is used again meanwhile stays.

    Returns:
        How many sessions expire.
    """
    count, last = 0, b""
    while examined := list(islice(sessions(last), _SLICE)):
        expiries = [expiry for key, raw in examined for expiry in _expiry(key, raw, before_ms)]
        await sink.append(expiries)
        count, last = count + len(expiries), examined[-1][0]
        # Neither a request nor an agent waits for housekeeping.
        await asyncio.sleep(_PAUSE_S)
    return count


def _expiry(key: bytes, raw: bytes, before_ms: int) -> Iterator[Append]:
    latest_ms = max(active.time_ms for active in SessionState.from_bytes(raw).maps.values())
    if latest_ms < before_ms:
        update = SessionUpdate(time_ms=latest_ms, is_expiry=True)
        yield Append(Topic.SESSION_UPDATES, key, update.to_bytes())


async def forget_for_ever(
    sessions: StoredSessions,
    sink: RecordSink,
    *,
    ttl_s: float,
    interval_s: float,
    clock_ms: Callable[[], int],
) -> None:
    """Forget sessions older than *ttl_s* every *interval_s*, for as long as the process runs."""
    while True:
        # The next round finds again what storage does not take now.
        with suppress(LogUnavailableError):
            await forget_sessions(sessions, sink, clock_ms() - round(ttl_s * 1_000))
        await asyncio.sleep(interval_s)
