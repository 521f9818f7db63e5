"""Metrics, in the process's Prometheus registry."""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from prometheus_client import (
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from flagstream.topics import Table

# A second series for each counter, of which Prometheus makes nothing.
disable_created_metrics()  # type: ignore[no-untyped-call]
_MAX_VALUES = 100
_OTHER = "(other)"


class Counts(Collector):
    """
    A counter with one label, for the paths where microseconds count.

    All counting is done on the event loop, so it needs none of the locks of the client library.
    """

    def __init__(self, name: str, help_: str, label: str, known: Iterable[object] = ()) -> None:
        """
        Begin.

        Args:
            known: Values that are there from the start: a first increase can be seen only of what
                was zero before.
        """
        self._name, self._help, self._label = name, help_, label
        self._counts: dict[object, int] = dict.fromkeys(known, 0)
        REGISTRY.register(self)

    def count(self, value: object, number: int = 1) -> None:
        """Count some; *value* is the label's, of a small closed set."""
        try:
            self._counts[value] += number
        except KeyError:
            # What is no closed set after all must not fill anybody's disk.
            value = value if len(self._counts) < _MAX_VALUES else _OTHER
            self._counts[value] = self._counts.get(value, 0) + number

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield what was counted, as the registry asks for it."""
        family = CounterMetricFamily(self._name, self._help, labels=[self._label])
        for value, number in self._counts.items():
            family.add_metric([str(value)], number)
        yield family


class Observed(Collector):
    """
    A gauge that is looked up when somebody asks for it; without a sample where nothing shows it.

    Attributes:
        read: Gives the present values by that of the label, or the one value.
    """

    def __init__(self, name: str, help_: str, label: str | None = None) -> None:
        self._name, self._help, self._labels = name, help_, [] if label is None else [label]
        self.read: Callable[[], Mapping[str, float] | float] = dict
        REGISTRY.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what there is, as the registry asks for it."""
        family = GaugeMetricFamily(self._name, self._help, labels=self._labels)
        for labels, number in self._values():
            family.add_metric(labels, number)
        yield family

    def _values(self) -> Iterable[tuple[Sequence[str], float]]:
        try:
            values = self.read()
        except Exception:  # noqa: BLE001 -- a broken disk is when the other metrics are wanted
            return ()
        if isinstance(values, Mapping):
            return [((value,), number) for value, number in values.items()]
        return [((), values)]


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


_DIRECTORIES = ("log", "tables", "views", "seen", "history")
_AGENTS = [table.value for table in Table]

INFO = Info("flagstream", "What runs here.")
READY = Observed("flagstream_ready", "1 where requests are answered, else 0.")
CONNECTIONS = Observed("flagstream_http_connections", "Connections of clients that are open.")
RESPONSES = Counts(
    "flagstream_http_responses", "Answers by status.", "status", (200, 400, 401, 429, 500, 503)
)
REFUSALS = Counts(
    "flagstream_http_refusals",
    "Answers that are refusals, by their code.",
    "code",
    ("rate_limit_exceeded", "unavailable", "internal_error"),
)
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
EVENTS_REJECTED = Counts(
    "flagstream_events_rejected",
    "Captured events that were malformed, by the member that was wrong.",
    "reason",
    ("event", "distinct_id", "properties", "uuid"),
)
GROUP_TYPES_REFUSED = Counter(
    "flagstream_group_types_refused",
    "Groups in captured events whose type came when all five indexes were given.",
)
MERGES_REFUSED = Counter(
    "flagstream_merges_refused",
    "Captured events that would have made one person of two that were identified.",
)
DEAD_LETTERS = Counts(
    "flagstream_dead_letters", "Records that could not be folded.", "table", _AGENTS
)
FOLDED = Counts("flagstream_records_folded", "Records that were folded.", "agent", _AGENTS)
LAST_FOLD = Observed(
    "flagstream_last_fold_timestamp_seconds", "When a record was folded last.", "agent"
)
LAG_CHANGES = Observed(
    "flagstream_lag_changes", "Records that are written and not yet folded.", "agent"
)
LAG_SECONDS = Observed(
    "flagstream_lag_seconds", "Age of the oldest record that is not yet folded.", "agent"
)
FRESHNESS = Histogram(
    "flagstream_freshness_seconds",
    "Time from a change's being acknowledged until flags are answered from it; samples.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
VIEW_AGE = Observed(
    "flagstream_view_age_seconds",
    "Age of the oldest change that flags are not yet answered from.",
)
LOG_WRITABLE = Observed("flagstream_log_writable", "1 where the log takes writes, else 0.")
LOG_FAILURES = Counter("flagstream_log_write_failures", "Writes that the log has refused.")
LOG_BYTES = Observed(
    "flagstream_log_bytes",
    "Records that the embedded log keeps for a time, before compression.",
    "topic",
)
DISK_USED = Observed(
    "flagstream_disk_used_bytes", "Size of what is in the data directory.", "directory"
)
DISK_FREE = Observed("flagstream_disk_free_bytes", "Free space where the data directory is.")
DISK_SIZE = Observed("flagstream_disk_size_bytes", "Size of the disk where it is.")
STREAMS = Gauge("flagstream_streams", "Streams of changes that are open.")
STREAMS_DROPPED = Counter(
    "flagstream_streams_dropped", "Streams that were ended because their clients did not read them."
)
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
for _table in Table:
    for _counter in (SKIPPED_RECORDS, FOREIGN_RECORDS, REPUBLISHED_KEYS):
        _counter.labels(_table.value)
    SOURCE_HOLES.labels(_table.source.value)

_last_folds: dict[str, float] = {}
LAST_FOLD.read = lambda: _last_folds


def folded(table: Table) -> None:
    """Note that a record was folded."""
    FOLDED.count(table.value)
    _last_folds[table.value] = time.time()


class _Lag(Protocol):
    def lags(self) -> Mapping[Table, tuple[int, float]]: ...


def show_lag(progress: _Lag) -> None:
    """Show, from now on, how far the agents are behind as this process knows it."""
    LAG_CHANGES.read = lambda: {table.value: lag[0] for table, lag in progress.lags().items()}
    LAG_SECONDS.read = lambda: {table.value: lag[1] for table, lag in progress.lags().items()}


def show_disk(data_dir: Path) -> None:
    """Show, from now on, how much of the disk is used and free."""
    DISK_FREE.read = lambda: shutil.disk_usage(data_dir).free
    DISK_SIZE.read = lambda: shutil.disk_usage(data_dir).total
    DISK_USED.read = lambda: {name: _size_bytes(data_dir / name) for name in _DIRECTORIES}


def _size_bytes(directory: Path) -> int:
    size = 0
    for path, _, names in os.walk(directory):
        for name in names:
            # RocksDB removes files meanwhile.
            with suppress(OSError):
                size += os.stat(os.path.join(path, name)).st_blocks * 512  # noqa: PTH116, PTH118 -- three times as fast
    return size
