"""Metrics, in the process's Prometheus registry."""

from functools import lru_cache

from prometheus_client import Counter

RESPONSES = Counter("flagstream_http_responses", "Answers by status.", ["status"])
FLAG_REQUESTS = Counter("flagstream_flag_requests", "Answered flag requests.")
FILLED_GROUPS = Counter(
    "flagstream_flag_requests_filled",
    "Flag requests in which the session's active groups filled what the request left out.",
)


def count_response(status: int) -> None:
    """Count one answer."""
    _responses(status).inc()


@lru_cache(maxsize=64)
def _responses(status: int) -> Counter:
    return RESPONSES.labels(str(status))
