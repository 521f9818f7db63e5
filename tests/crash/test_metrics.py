"""What a real server's metrics say, and that each alert's metric moves when its cause does."""

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from flagstream.topics import Table, Topic, record_key
from tests.crash.stored import append_raw
from tests.crash.test_failures import capture, fill_until_refused, tmpfs
from tests.docs.test_metrics import documented
from tests.filters import group_filters
from tests.scrapes import LABELS, labels_of, metrics_of, ours, scraped, value
from tests.server import TOKEN
from tests.waiting import until

# What only Kafka has, or only a server of several processes.
OF_KAFKA = {
    "flagstream_source_holes_total",
    "flagstream_foreign_changelog_records_total",
    "flagstream_republished_keys_total",
}


def use(server):
    """Let everything happen that is counted."""
    server.set_group("organization", "org:1", plan="gold")
    server.create_flag("gold", group_filters(plan="gold"))
    # Of several processes the one that made the flag is not the one that is asked.
    until(lambda: "gold" in server.flags("someone", {"organization": "org:1"}))
    server.flags("someone")
    server.request("POST", "/batch/", {"api_key": TOKEN, "batch": [{"event": "no id"}]})
    server.request("GET", "/nothing")


class TestScrape:
    @pytest.mark.parametrize("api_processes", [0, 2])
    def test_is_as_documented(self, make_server, api_processes):
        """
        A server in use says all that is documented and nothing else; labels are those of the rows,
        with values of few kinds, and never what is secret or of a person.
        """
        server = make_server(api_processes=api_processes)
        server.start()
        use(server)
        families = scraped(server)

        assert {name: kind for name, (kind, _) in documented().items()} == metrics_of(families)
        found = labels_of(families)
        with_samples = {name: found.get(name) for name in documented() if name not in OF_KAFKA}
        assert {
            name: labels for name, (_, labels) in documented().items() if name not in OF_KAFKA
        } == with_samples
        for family in ours(families):
            for sample in family.samples:
                for label, text in sample.labels.items():
                    assert re.fullmatch(LABELS[label], text), sample
                assert ("process" in sample.labels) == bool(api_processes)

    def test_what_was_used(self, make_server):
        """
        Values are what happened.
        """
        server = make_server()
        server.start()
        use(server)

        assert 1 == value(server, "flagstream_events_accepted_total")
        assert {"distinct_id": 1} == {
            sample.labels["reason"]: sample.value
            for family in scraped(server)
            for sample in family.samples
            if sample.name == "flagstream_events_rejected_total" and sample.value
        }
        assert 1 == value(server, "flagstream_evaluations_total", reason="condition_match")
        assert 1 == value(server, "flagstream_flags_without_group_total", flag="gold", project="1")
        assert 1 == value(server, "flagstream_http_refusals_total", code="not_found")
        assert value(server, "flagstream_freshness_seconds_count") > 0
        assert value(server, "flagstream_records_folded_total", agent="groups") > 0
        assert value(server, "flagstream_last_fold_timestamp_seconds", agent="groups") > 1.7e9
        assert value(server, "flagstream_log_bytes", topic=Topic.EVENTS) > 0
        for directory in ("log", "tables", "views", "seen", "history"):
            assert value(server, "flagstream_disk_used_bytes", directory=directory) > 0
        assert 1 == value(server, "flagstream_ready")
        assert 0 == value(server, "flagstream_lag_changes")


class TestAlerts:
    def test_dead_letters(self, server):
        """
        FlagstreamDeadLetters: poison is counted, by its table.
        """
        server.terminate()
        key = record_key(1, "organization", "org:1")
        asyncio.run(append_raw(server.data_dir, Table.GROUPS.source, key, b"poison"))

        server.start()

        until(lambda: value(server, "flagstream_dead_letters_total", table="groups") == 1)

    @pytest.mark.parametrize("api_processes", [1])
    def test_worker_stands_still(self, make_server, api_processes):
        """
        FlagstreamViewStale: without its worker the views of an API process grow older, and
        FlagstreamOverloaded: it refuses events.
        """
        server = make_server(api_processes=api_processes)
        server.start()
        assert 0 == value(server, "flagstream_view_age_seconds")

        os.kill(server.process.pid, signal.SIGKILL)

        until(lambda: value(server, "flagstream_view_age_seconds", process="api-0") > 0.5)
        assert 503 == capture(server, "late").status
        assert value(server, "flagstream_http_refusals_total", code="unavailable") > 0

    def test_full_disk(self, make_server, tmp_path):
        """
        FlagstreamLogRefusesWrites and FlagstreamDiskFull: metrics are told on a full disk, and say
        so, until there is room again.
        """
        with tmpfs(tmp_path / "small", 160) as small:
            server = make_server()
            server.data_dir = small / "data"
            server.environment["FLAGSTREAM_DATA_DIR"] = str(server.data_dir)
            server.start()
            assert 1 == value(server, "flagstream_log_writable")
            ballast = small / "ballast"
            fill_until_refused(server, ballast)

            assert 0 == value(server, "flagstream_log_writable")
            assert value(server, "flagstream_log_write_failures_total") > 0
            assert value(server, "flagstream_disk_free_bytes") < 4_194_304
            ballast.unlink()
            until(lambda: value(server, "flagstream_log_writable") == 1, 20)
            assert 0 == server.terminate()

    def test_process_ends(self, make_server):
        """
        FlagstreamProcessesEnd: an API process that is killed is counted.
        """
        server = make_server(api_processes=1)
        server.start()
        (pid,) = children_of(server.process.pid)

        os.kill(pid, signal.SIGKILL)

        until(lambda: exits(server) == 1, 20)


def exits(server):
    return value(server, "flagstream_api_process_exits_total") if server.is_ready() else 0


def children_of(pid):
    """Find the processes that a process has started."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
