"""How much a project may send and ask for: a bucket of tokens of each kind for every project."""

import math
import mmap
from collections.abc import Callable
from time import monotonic

from flagstream.errors import RateLimitError
from flagstream.ports import IngestionWarning, Warnings
from flagstream.settings import Settings
from flagstream.warning_kinds import WarningKind

_SLOTS = 65_536
_KINDS = 4
_MAX_RETRY_AFTER_S = 60
# Seconds since the machine was started have no digits beyond, after some months.
_ROUNDED_S = 1e-6
SHARED_BYTES = _KINDS * _SLOTS * 8
"""How much memory the processes of a server share for it."""


def draw(full_s: float, now_s: float, count: int, per_s: float, burst_s: float) -> float:
    """
    Take *count* tokens from a bucket.

    A bucket is known by when it will be full: nothing has to be done while nobody draws. All are
    taken as soon as there is one, so that a batch is never cut in two; what was taken too much has
    to flow in before there is one again. So in any time *t* no more than ``burst + per_s * t``
    are taken, and what the last batch has beyond one; and nobody is refused who stays below.

    Args:
        full_s: When it will be full, or was; above 0.
        burst_s: How much it holds, in seconds of *per_s*; at least one token.

    Returns:
        When it will be full; or below 0, less how long there is not even one.
    """
    missing_s = full_s - now_s if full_s > now_s else 0.0
    token_s = 1.0 / per_s
    short_s = missing_s + token_s - max(burst_s, token_s)
    if short_s > _ROUNDED_S:
        return -short_s
    return now_s + missing_s + count * token_s


class RateLimit:
    """One kind of what is limited, for all projects."""

    def __init__(self, rates: "Rates", number: int, kind: WarningKind, setting: str) -> None:
        self._first = number * _SLOTS
        self._kind = kind
        self._setting = setting
        self._per_s: float = getattr(rates.settings, setting)
        self._burst_s = rates.settings.rate_burst_s
        self._full_s = rates.full_s
        self._warnings = rates.warnings
        self._clock_s = rates.clock_s

    def take(self, project_id: int, own_per_s: float | None, count: int = 1) -> None:
        """
        Let some in.

        Args:
            own_per_s: What the project has instead of the server's rate; None where nothing.

        Raises:
            RateLimitError: The project has used up its rate.
        """
        per_s = self._per_s if own_per_s is None else own_per_s
        if not per_s:
            return
        full_s, slot = self._full_s, self._first + project_id % _SLOTS
        drawn_s = draw(full_s[slot], self._clock_s(), count, per_s, self._burst_s)
        if drawn_s < 0:
            self._refuse(project_id, per_s, count, -drawn_s)
        full_s[slot] = drawn_s

    def _refuse(self, project_id: int, per_s: float, count: int, wait_s: float) -> None:
        expected = f"at most {per_s:g} a second"
        warning = IngestionWarning(
            kind=self._kind, field=self._setting, expected=expected, got=f"{count} more"
        )
        self._warnings.add(project_id, warning, count)
        raise RateLimitError(
            f"Rate limit exceeded: {self._setting}: expected {expected}, got {count} more",
            attr=self._setting,
            retry_after_s=min(math.ceil(wait_s - _ROUNDED_S), _MAX_RETRY_AFTER_S),
        )


class Rates:
    """
    The limits of all projects, in memory that the processes of a server may share.

    A time of eight bytes is all that is kept of a bucket, so processes need no lock: where two draw
    at the very same moment, one draw may not count. Projects whose numbers are 65,536 apart share
    their buckets.

    Attributes:
        full_s: When each bucket will be full, on the monotonic clock.
    """

    def __init__(
        self,
        settings: Settings,
        warnings: Warnings,
        shared: mmap.mmap | None = None,
        clock_s: Callable[[], float] = monotonic,
    ) -> None:
        self.settings = settings
        self.warnings = warnings
        self.clock_s = clock_s
        self.full_s = memoryview(shared or mmap.mmap(-1, SHARED_BYTES)).cast("d")
        kinds = WarningKind
        self.events = RateLimit(self, 0, kinds.EVENTS_RATE_LIMITED, "max_events_per_s")
        self.flags = RateLimit(self, 1, kinds.FLAGS_RATE_LIMITED, "max_flag_requests_per_s")
        self.api = RateLimit(self, 2, kinds.API_RATE_LIMITED, "max_api_requests_per_s")
        self.definitions = RateLimit(
            self, 3, kinds.DEFINITIONS_RATE_LIMITED, "max_definition_requests_per_s"
        )
