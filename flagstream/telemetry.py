"""Metrics, in the process's Prometheus registry."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import REGISTRY, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
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

    def count(self, value: object, number: int = 1) -> None:
        """Count some; *value* is the label's, of a small closed set."""
        self._counts[value] = self._counts.get(value, 0) + number

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield what was counted, as the registry asks for it."""
        family = CounterMetricFamily(self._name, self._help, labels=[self._label])
        for value, number in self._counts.items():
            family.add_metric([str(value)], number)
        yield family


class _Joined(Collector):
    """The metrics of several processes, each sample with the name of its process."""

    def __init__(self, expositions: Mapping[str, bytes]) -> None:
        self._expositions = expositions

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for process, exposition in self._expositions.items():
            for family in text_string_to_metric_families(exposition.decode()):
                joined = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {**sample.labels, "process": process}
                    joined.samples.append(sample._replace(labels=labels))
        return families.values()


def exposition() -> bytes:
    """Write the metrics of this process in the text format of Prometheus."""
    return generate_latest(REGISTRY)


def joined(expositions: Mapping[str, bytes]) -> bytes:
    """
    Write the metrics of several processes as one text.

    Each sample is labelled with its *process* instead of being added up: a process that is
    started again begins at zero, which Prometheus understands of a series of its own only.
    """
    return generate_latest(_Joined(expositions))


RESPONSES = Counts("flagstream_http_responses", "Answers by status.", "status")
FILLED_FLAG_REQUESTS = Counter(
    "flagstream_flag_requests_filled",
    "Flag requests in which the session's active groups filled what the request left out.",
)
SKIPPED_RECORDS = Counter(
    "flagstream_view_records_skipped",
    "Records that the views could not decode.",
    ["table"],
)
INGESTION_WARNINGS = Counts(
    "flagstream_ingestion_warnings",
    "What was cut, dropped or refused of what clients send, by kind of warning.",
    "kind",
)
EVENTS_ACCEPTED = Counter("flagstream_events_accepted", "Captured events, retries included.")
EVENTS_REPEATED = Counter(
    "flagstream_events_repeated", "Accepted events that had come before, and were not kept again."
)
EVENTS_REJECTED = Counter("flagstream_events_rejected", "Captured events that were malformed.")
GROUP_TYPES_REFUSED = Counter(
    "flagstream_group_types_refused",
    "Groups in captured events whose type came when all five indexes were given.",
)
MERGES_REFUSED = Counter(
    "flagstream_merges_refused",
    "Captured events that would have made one person of two that were identified.",
)
DEAD_LETTERS = Counter("flagstream_dead_letters", "Records that could not be folded.", ["table"])
LAG_CHANGES = Gauge("flagstream_lag_changes", "Records that are written and not yet folded.")
LAG_SECONDS = Gauge("flagstream_lag_seconds", "Age of the oldest record that is not yet folded.")
API_PROCESSES = Gauge("flagstream_api_processes", "API processes that answer requests.")
API_PROCESS_EXITS = Counter(
    "flagstream_api_process_exits", "Times that an API process ended without having been asked to."
)
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


class _Lag(Protocol):
    @property
    def lag_changes(self) -> int: ...
    @property
    def lag_s(self) -> float: ...


def show_lag(progress: _Lag) -> None:
    """Show, from now on, how far the agents are behind as this process knows it."""
    LAG_CHANGES.set_function(lambda: progress.lag_changes)
    LAG_SECONDS.set_function(lambda: progress.lag_s)
