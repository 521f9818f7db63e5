"""What a server's metrics say, read as Prometheus reads them."""

import re
from collections.abc import Iterable, Mapping

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from flagstream.topics import Table, Topic
from flagstream.warning_kinds import WarningKind
from tests.server import Server

_PREFIX = "flagstream_"
_TABLES = "|".join(Table)
LABELS: Mapping[str, str] = {
    "agent": _TABLES,
    "table": _TABLES,
    "topic": "|".join(map(re.escape, Topic)),
    "reason": r"[a-z_]+|properties\.\$[a-z_]+|\(other\)",
    "code": "[a-z_]+",
    "status": r"[1-5]\d\d",
    "directory": "log|tables|views|seen|history",
    "project": r"\d+|\(other\)",
    "flag": r"[\w-]+|\(other\)",
    "version": r"[\d.]+",
    "role": "all|worker|api",
    "process": r"worker|api-\d+",
    "kind": "|".join(WarningKind),
    "le": r"[\d.]+|\+Inf",
}
"""Every label that there may be, with what its values look like."""


def name_of(family: Metric) -> str:
    """Tell under which name a metric is documented: that of its samples."""
    suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
    return family.name if family.name.endswith(suffix) else family.name + suffix


def ours(families: Iterable[Metric]) -> Iterable[Metric]:
    """Leave out what the client library adds."""
    return [
        family
        for family in families
        if family.name.startswith(_PREFIX) or family.name + "_" == _PREFIX
    ]


def metrics_of(families: Iterable[Metric]) -> dict[str, str]:
    """Read the type of each metric by its name."""
    return {
        name_of(family): "gauge" if family.type == "info" else family.type
        for family in ours(families)
    }


def labels_of(families: Iterable[Metric]) -> dict[str, set[str]]:
    """Read which labels the samples of each metric have, those of processes left out."""
    labels: dict[str, set[str]] = {}
    for family in ours(families):
        for sample in family.samples:
            labels.setdefault(name_of(family), set()).update(sample.labels.keys())
    return {name: found - {"process", "le"} for name, found in labels.items()}


def scraped(server: Server) -> list[Metric]:
    """Ask a server."""
    answer = server.request("GET", "/metrics")
    assert answer.status == 200, answer
    return list(text_string_to_metric_families(answer.body))


def value(server: Server, name: str, **labels: str) -> float:
    """Add up the samples of a metric that have these labels; 0 where there is none."""
    return sum(
        sample.value
        for family in scraped(server)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
