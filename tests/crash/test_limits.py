"""Limits of a server in several processes, and what is known of refusals after it was killed."""

import time

from tests.crash.test_api_processes import start
from tests.server import TOKEN
from tests.waiting import until

EVENT = {"api_key": TOKEN, "event": "signed in", "distinct_id": "user-1"}
RATE, BURST_S = 5, 4


def warnings(server):
    """What the server says that was cut or refused, by kind; from whichever process answers."""
    found = server.api("GET", "ingestion_warnings/")["results"]
    return {each["kind"]: each["count"] for each in found}


class TestProcesses:
    def test_count_together(self, make_server):
        """
        Processes let in together what the rate says, and each of them tells what all refused.
        """
        server = make_server(api_processes=3, max_events_per_s=RATE, rate_burst_s=BURST_S)
        start(server)
        began_s = time.monotonic()
        # Each on a connection of its own, which any of the processes may get.
        statuses = [server.request("POST", "/batch/", EVENT).status for _ in range(100)]
        took_s = time.monotonic() - began_s

        assert {200, 429} == set(statuses)
        let_in = statuses.count(200)
        # Where two draw at the very same moment, one draw may not count; here one asks at a time.
        assert RATE * BURST_S <= let_in <= RATE * (BURST_S + took_s) + 1
        refused = {"events_rate_limited": 100 - let_in}
        until(lambda: all(warnings(server) == refused for _ in range(20)), 30)


class TestEnds:
    def test_stopped(self, make_server):
        """
        What was refused is told after a stop and a start.
        """
        server = make_server()
        server.start()
        server.request("POST", "/batch/", {**EVENT, "uuid": "no"})
        server.capture({**EVENT, "distinct_id": "x" * 201})
        server.terminate()
        server.start()

        assert {"invalid_event": 1, "id_cut": 1} == warnings(server)

    def test_killed(self, make_server):
        """
        Also after a kill, but for what was counted within the last seconds.
        """
        server = make_server(api_processes=2)
        start(server, 2)
        server.request("POST", "/batch/", {**EVENT, "uuid": "no"})
        # Asked for at every process, so that each has written what it has counted.
        until(lambda: all(warnings(server) == {"invalid_event": 1} for _ in range(10)), 30)
        server.request("POST", "/batch/", {**EVENT, "uuid": "no"})
        server.kill()
        start(server, 2)

        assert warnings(server)["invalid_event"] in (1, 2)

    def test_command(self, make_server):
        """
        The command line prints each kind with what to do, and samples without values.
        """
        server = make_server()
        server.start()
        server.request("POST", "/batch/", {**EVENT, "uuid": "a secret"})
        printed = server.cli("warnings", "--project", "1", "--url", server.url)

        first, advice, sample = printed.stdout.splitlines()
        assert ["invalid_event", "refused", "1"] == first.split("\t")[:3]
        assert advice.startswith("  Correct what the samples name")
        assert "  - uuid: expected a UUID, got text of 8 characters (signed in of user-1)" == sample
