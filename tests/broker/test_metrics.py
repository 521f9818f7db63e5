"""What each role of a cluster says of itself."""

import re

import pytest

from tests.docs.test_metrics import documented
from tests.scrapes import LABELS, labels_of, metrics_of, ours, scraped, value
from tests.waiting import until

pytestmark = pytest.mark.broker
# What is looked up, with who has it.
GAUGES = {
    "flagstream_lag_changes": {"worker", "api"},
    "flagstream_view_age_seconds": {"api"},
    "flagstream_last_fold_timestamp_seconds": {"worker"},
    "flagstream_log_writable": set(),
    "flagstream_log_bytes": set(),
    "flagstream_disk_free_bytes": {"worker", "api"},
    "flagstream_ready": {"worker", "api"},
    "flagstream_http_connections": {"worker", "api"},
}


class TestRoles:
    def test_each_says_what_it_knows(self, kafka, make_server):
        """
        Workers and API nodes say all that is documented, with labels of the rows; lag is told by
        both, the age of views by who has any.
        """
        nodes = {role: make_server(broker_url=kafka.url, role=role) for role in ("worker", "api")}
        for node in nodes.values():
            node.start()
        nodes["api"].set_group("company", "acme", plan="gold")
        until(lambda: value(nodes["worker"], "flagstream_records_folded_total") > 0)
        families = {role: scraped(node) for role, node in nodes.items()}
        nodes["worker"].terminate()

        rows = documented()
        for found in families.values():
            assert {name: kind for name, (kind, _) in rows.items()} == metrics_of(found)
            for name, labels in labels_of(found).items():
                assert labels == rows[name][1], name
            for family in ours(found):
                for sample in family.samples:
                    assert all(re.fullmatch(LABELS[n], v) for n, v in sample.labels.items()), sample
        present = {
            name: {role for role, found in families.items() if name in labels_of(found)}
            for name in GAUGES
        }
        assert GAUGES == present
