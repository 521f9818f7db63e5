"""Metrics, in the process's Prometheus registry."""

from collections.abc import Iterator

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class Counts(Collector):
    """
    A counter with one label, for the paths where microseconds count.

    All counting is done on the event loop, so it needs none of the locks of the client library.
    """

    def __init__(self, name: str, help_: str, label: str) -> None:
        self._name, self._help, self._label = name, help_, label
        self._counts: dict[object, int] = {}
        REGISTRY.register(self)

    def count(self, value: object) -> None:
        """Count one; *value* is the label's, of a small closed set."""
        self._counts[value] = self._counts.get(value, 0) + 1

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield what was counted, as the registry asks for it."""
        family = CounterMetricFamily(self._name, self._help, labels=[self._label])
        for value, number in self._counts.items():
            family.add_metric([str(value)], number)
        yield family


RESPONSES = Counts("flagstream_http_responses", "Answers by status.", "status")
FILLED_FLAG_REQUESTS = Counter(
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
FOREIGN_RECORDS = Counter(
    "flagstream_foreign_changelog_records",
    "Changelog records of Kafka that another worker wrote to a partition of this one.",
    ["table"],
)
REPUBLISHED_KEYS = Counter(
    "flagstream_republished_keys",
    "Keys that a recovery published anew, because their changelog lacked something.",
    ["table"],
)
SOURCE_HOLES = Counter(
    "flagstream_source_holes",
    "Times that records of a source topic did not arrive and were fetched again.",
    ["topic"],
)
