"""Metrics, in the process's Prometheus registry."""

from functools import lru_cache

from prometheus_client import Counter, Gauge

RESPONSES = Counter("flagstream_http_responses", "Answers by status.", ["status"])
FLAG_REQUESTS = Counter("flagstream_flag_requests", "Answered flag requests.")
FILLED_GROUPS = Counter(
    "flagstream_flag_requests_filled",
    "Flag requests in which the session's active groups filled what the request left out.",
)
SKIPPED_RECORDS = Counter(
    "flagstream_view_records_skipped",
    "Changelog records that the views could not decode.",
    ["table"],
)
EVENTS_ACCEPTED = Counter("flagstream_events_accepted", "Captured events, retries included.")
EVENTS_REJECTED = Counter("flagstream_events_rejected", "Captured events that were malformed.")
GROUP_TYPES_REFUSED = Counter(
    "flagstream_group_types_refused",
    "Groups in captured events whose type came when all five indexes were given.",
)
DEAD_LETTERS = Counter("flagstream_dead_letters", "Records that could not be folded.", ["table"])
LAG_CHANGES = Gauge("flagstream_lag_changes", "Records that are written and not yet folded.")
LAG_SECONDS = Gauge("flagstream_lag_seconds", "Age of the oldest record that is not yet folded.")


def count_response(status: int) -> None:
    """Count one answer."""
    _responses(status).inc()


@lru_cache(maxsize=64)
def _responses(status: int) -> Counter:
    return RESPONSES.labels(str(status))
