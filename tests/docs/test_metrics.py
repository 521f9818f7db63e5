"""The reference of metrics lists every metric, as it is, and no other; so do the alerts."""

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

from flagstream import api  # noqa: F401 -- everything that counts is behind it
from tests.scrapes import LABELS, labels_of, metrics_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/metrics.md").read_text()
ALERTS_PAGE = (ROOT / "docs/operations/alerts.md").read_text()
ROW = re.compile(r"^\| `(flagstream_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "config/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
rules = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
# What Prometheus itself makes.
OF_PROMETHEUS = {"up"}
LABELS_OF_PROMETHEUS = {"instance", "job", "process", "le"}


def documented():
    """Read the rows: type and labels by name."""
    return {
        name: (kind, set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in ROW.findall(PAGE)
    }


class TestReference:
    def test_every_metric_has_a_row(self):
        """
        Each metric has one row, with its type.
        """
        listed = {name: kind for name, (kind, _) in documented().items()}
        counted = metrics_of(REGISTRY.collect())

        assert len(ROW.findall(PAGE)) == len(listed)
        assert {} == {name: kind for name, kind in counted.items() if name not in listed}, (
            "docs/reference/metrics.md lacks a row"
        )
        assert {} == {name: kind for name, kind in listed.items() if counted.get(name) != kind}, (
            "docs/reference/metrics.md has a row of what is not there, or is of another type"
        )

    def test_labels(self):
        """
        What was counted so far has no labels but those of the row.
        """
        listed = documented()

        for name, labels in labels_of(REGISTRY.collect()).items():
            assert labels <= listed[name][1], name

    def test_labels_are_a_closed_set(self):
        """
        No row has a label that is not known to have few values and to hold no secret.
        """
        assert set(LABELS) >= {label for _, labels in documented().values() for label in labels}


class TestAlerts:
    @rules
    def test_metrics_exist(self, rule):
        """
        Every metric of an alert is one that is there, with the labels that it asks for.
        """
        listed = documented()
        names = set(re.findall(r"\b(?:flagstream_\w+|up)\b", rule["expr"]))
        known = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names} - OF_PROMETHEUS
        asked = {
            label
            for inner in re.findall(r"\b(?:by|without) \(([^)]*)\)|\{([^}]*)\}", rule["expr"])
            for label in re.findall(
                r"(\w+)(?=\s*(?:[,=!]|$))", re.sub(r'"[^"]*"', "", "".join(inner))
            )
        }

        assert names
        assert set() == known - listed.keys()
        assert set() == asked - LABELS_OF_PROMETHEUS - set().union(
            *(listed[name][1] for name in known)
        )

    @rules
    def test_says_what_to_do(self, rule):
        """
        An alert waits until it is sure, says whom it may wake, and what to do, with its section.
        """
        section = rule["alert"].lower()

        assert re.fullmatch(r"\d+[mh]", rule["for"])
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert {"summary", "action", "runbook_url"} == set(rule["annotations"])
        assert rule["annotations"]["runbook_url"].endswith(f"docs/operations/alerts.md#{section}")

    def test_every_alert_has_a_section(self):
        """
        The page has a section for each alert, and no other.
        """
        sections = set(re.findall(r"^## (Flagstream\w+)$", ALERTS_PAGE, re.MULTILINE))

        assert {rule["alert"] for rule in RULES} == sections

    @rules
    def test_page_says_the_severity(self, rule):
        """
        The page says what the rule says of whom it may wake.
        """
        section = ALERTS_PAGE.partition(f"\n## {rule['alert']}\n")[2].partition("\n## ")[0]

        assert section.lstrip().startswith(f"*{rule['labels']['severity']}*")
