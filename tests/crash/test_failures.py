"""A disk that is full, tables that are gone, records that nobody can fold."""

import asyncio
import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest

from flagstream.topics import Table, Topic, record_key
from tests.crash.stored import append_raw, stored_events
from tests.server import TOKEN
from tests.waiting import until


def is_gold(server, key="org:1"):
    return server.flags("someone", {"organization": key})["gold"]["enabled"]


class TestDeletedTables:
    @pytest.mark.parametrize("folder", ["tables", "views"])
    def test_deleted_files_are_rebuilt(self, gold_server, folder):
        """
        Without its tables or its views a server comes back with the same state, from the log.
        """
        gold_server.terminate()
        shutil.rmtree(gold_server.data_dir / folder)

        gold_server.start()

        assert is_gold(gold_server)
        assert 0 == gold_server.terminate()
        assert 0 == gold_server.cli("verify").returncode


class TestPoison:
    @pytest.mark.parametrize("table", list(Table))
    def test_poison_is_a_dead_letter_and_the_rest_goes_on(self, gold_server, table):
        """
        A record that cannot be folded is listed with its reason; what follows in its partition is
        folded.
        """
        key = {
            1: record_key(1),
            2: record_key(1, "x"),
            3: record_key(1, "organization", "org:1"),
            4: record_key(1, "flag", "x", "y"),
        }
        arity = {Table.GROUP_TYPES: 1, Table.SESSIONS: 2, Table.PERSONS: 2, Table.HISTORY: 4}.get(
            table, 3
        )
        gold_server.terminate()
        asyncio.run(append_raw(gold_server.data_dir, table.source, key[arity], b'{"poison": 1}'))
        gold_server.start()

        gold_server.set_group("organization", "org:1", plan="silver")

        letters = until(lambda: gold_server.api("GET", "dead_letters/")["results"])
        assert [table.source.value] == [letter["topic"] for letter in letters]
        assert "missing required field" in letters[0]["reason"]
        assert not is_gold(gold_server)

    def test_replayed_dead_letter_is_dead_again(self, gold_server):
        """
        Replaying what is still poison makes a second dead letter, and loses neither.
        """
        key = record_key(1, "organization", "org:1")
        gold_server.terminate()
        asyncio.run(append_raw(gold_server.data_dir, Topic.GROUP_UPDATES, key, b"poison"))
        gold_server.start()
        letters = until(lambda: gold_server.api("GET", "dead_letters/")["results"])

        replayed = gold_server.cli(
            "dead-letters", "replay", letters[0]["id"], "--url", gold_server.url
        )

        assert 0 == replayed.returncode, replayed.stderr
        until(lambda: len(gold_server.api("GET", "dead_letters/")["results"]) == 2)


@contextmanager
def tmpfs(path, megabytes):
    if os.geteuid() != 0:
        pytest.fail("only root may mount a small file system: run `sudo scripts/test crash`")
    path.mkdir()
    options = f"size={megabytes}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


class TestFullDisk:
    @pytest.mark.parametrize("api_processes", [0, 2])
    def test_full_disk_refuses_and_recovers(self, make_server, tmp_path, api_processes):
        """
        A full disk is answered with 503; nothing that was acknowledged is lost, and when there is
        room again the server takes events without a restart, in one process or several.
        """
        with tmpfs(tmp_path / "small", 160) as small:
            server = make_server(api_processes=api_processes)
            server.data_dir = small / "data"
            server.environment["FLAGSTREAM_DATA_DIR"] = str(server.data_dir)
            server.start()
            ballast = small / "ballast"
            acknowledged, refused = fill_until_refused(server, ballast)

            ballast.unlink()

            until(lambda: capture(server, "after").status == 200, 20)
            assert 503 == refused.status
            assert "Retry-After" in refused.headers
            assert 0 == server.terminate()
            stored = asyncio.run(stored_events(server.data_dir))
            assert set() == acknowledged - stored


def capture(server, name, **properties):
    event = {"event": name, "distinct_id": "u", "properties": properties}
    return server.request("POST", "/capture/", {"api_key": TOKEN, **event})


def fill_until_refused(server, ballast):
    """Take away the room with a file, then send events until one is refused."""
    free = shutil.disk_usage(ballast.parent).free
    with ballast.open("wb") as file:
        file.truncate(0)
        os.posix_fallocate(file.fileno(), 0, max(free - 4_194_304, 1))
    acknowledged = set()
    for number in range(4_000):
        uuid = f"00000000-0000-4000-8000-{number:012d}"
        event = {
            "event": "filling",
            "uuid": uuid,
            "distinct_id": "u",
            "properties": {"filler": os.urandom(4_096).hex()},
        }
        answer = server.request("POST", "/capture/", {"api_key": TOKEN, **event})
        if answer.status != 200:
            return acknowledged, answer
        acknowledged.add(uuid)
    pytest.fail("the disk was never full")


class TestStop:
    def test_what_was_accepted_is_folded_before_the_end(self, gold_server):
        """
        SIGTERM ends the process within ten seconds, exit code 0, and everything is visible at the
        next start.
        """
        event = {
            "event": "$groupidentify",
            "distinct_id": "u",
            "properties": {
                "$group_type": "organization",
                "$group_key": "org:2",
                "$group_set": {"plan": "gold"},
            },
        }
        assert (
            200
            == gold_server.request("POST", "/batch/", {"api_key": TOKEN, "batch": [event]}).status
        )

        assert 0 == gold_server.terminate()

        gold_server.start()
        assert is_gold(gold_server, "org:2")

    def test_second_process_is_told_who_has_the_directory(self, gold_server):
        """
        A second server on the same directory ends at once and names it.
        """
        second = gold_server.cli("serve", "--port", "0")

        assert 0 != second.returncode
        assert str(gold_server.data_dir) in second.stderr
        assert "Traceback" not in second.stderr
