"""How long it takes until flags are answered from what was acknowledged."""

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from flagstream.telemetry import FRESHNESS

# However fast changes come, and however long none gets through: so that a stall has as many samples
# as the time that it takes, and not as the changes that came before or after.
_INTERVAL_S = 0.05
_MAX_PENDING = 1_000


class _Pending(NamedTuple):
    offset: int
    since_s: float
    is_sample: bool


class Freshness:
    """
    Of one partition: since when changes wait to be visible, and samples of how long that took.

    Not every change is followed, but always the oldest one that waits.
    """

    __slots__ = ("_next_s", "pending")

    def __init__(self) -> None:
        self.pending: deque[_Pending] = deque()
        self._next_s = 0.0

    def begin(self, offset: int, now_s: float, *, is_own: bool) -> None:
        """
        Note a change that is not visible yet.

        Args:
            is_own: This process has just acknowledged it, so that it may be a sample.
        """
        is_due = now_s >= self._next_s
        if self.pending and (not is_due or len(self.pending) >= _MAX_PENDING):
            return
        if is_due:
            self._next_s = now_s + _INTERVAL_S
        self.pending.append(_Pending(offset, now_s, is_own and is_due))

    def end(self, is_visible: Callable[[int], bool]) -> None:
        """Note what has become visible; to be called where something is pending."""
        pending = self.pending
        while pending and is_visible(pending[0].offset):
            _, since_s, is_sample = pending.popleft()
            if is_sample:
                FRESHNESS.observe(monotonic() - since_s)
