"""What is seen of a client, in the words of its tables."""

from collections.abc import Mapping

from tests.clients.answers import Does
from tests.clients.rows import Row, Seen

# Of the time that was asked for: a page's clock is moved in steps of a second.
_WAITED = 0.9
# By the parts that events came in, request by request, and by how often each is in the log.
_EVENTS = {
    ((1,), (0,)): Does.LOST,
    ((1,), (1,)): Does.KEPT,
    ((1, 1), (1,)): Does.SENT_AGAIN,
    ((1, 1), (2,)): Does.DOUBLED,
    ((1, 2, 2), (1,)): Does.SENT_IN_HALVES,
}


def word_for_events(row: Row, seen: Seen, stored: Mapping[str, int], retry_after_s: int) -> str:
    """
    Tell what a client did with its events, and what became of them.

    Args:
        stored: How often each is in the log.
    """
    requests = seen.requests
    parts = tuple(len(row.events) // len(each.events) for each in requests)
    times = tuple({stored.get(name, 0) for name in row.events})
    word = _EVENTS.get((parts, times))
    if word is Does.SENT_AGAIN and "Retry-After" in row.answer:
        waited_s = requests[1].at_s - requests[0].at_s
        return Does.SENT_AGAIN_WHEN_TOLD if waited_s > _WAITED * retry_after_s else word
    if word is None and set(parts) == {1} and times == (0,):
        return f"{len(parts)} requests"
    return word or f"came in parts of {parts}, is stored {times} times"


def word_for_flag(seen: Seen, *, value: bool) -> str:
    """
    Tell what a client did for the value of its flag.

    Args:
        value: What the server answers.
    """
    words = {
        (1, value): Does.ANSWERED,
        (2, value): Does.ASKED_AGAIN,
        (1, None): Does.UNKNOWN,
        (1, not value): Does.AS_BEFORE,
    }
    requests = len(seen.requests)
    return words.get((requests, seen.value)) or f"{seen.value} after {requests} requests"
