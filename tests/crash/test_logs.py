"""What a real server logs, from its start to its end."""

import json
import os
import signal

import pytest

from tests.crash.test_metrics import children_of
from tests.waiting import until


def lines(server):
    return [json.loads(line) for line in server.log.read_text().splitlines()]


class TestJson:
    @pytest.mark.parametrize(("api_processes", "names"), [(0, {"all"}), (1, {"worker", "api-0"})])
    def test_every_line(self, make_server, api_processes, names):
        """
        All that a server writes, in whatever process, is JSON: that it is ready, and that it stops.
        """
        server = make_server(log_format="json", api_processes=api_processes, log_level="debug")
        server.start()
        assert 0 == server.terminate()

        found = lines(server)
        assert names == {line["process"] for line in found}
        for name in names:
            said = [line["message"] for line in found if line["process"] == name]
            assert "Asked to stop" in said
            assert "Stopped" == said[-1]
        ready = next(line for line in found if line["message"] == "Ready")
        assert ("all", "INFO") == (ready["role"], ready["level"])
        assert ready["version"]

    def test_start_that_fails(self, make_server):
        """
        Why a start is not possible is a line, too.
        """
        first = make_server(log_format="json")
        first.start()

        refused = first.cli("serve", "--port", "0")

        assert 1 == refused.returncode
        line = json.loads(refused.stderr.splitlines()[-1])
        assert "LogLockedError" == line["error"]
        assert str(first.data_dir) in line["message"]

    def test_kill_is_told(self, make_server):
        """
        An API process that was killed is named, with what it has returned.
        """
        server = make_server(log_format="json", api_processes=1)
        server.start()
        (child,) = children_of(server.process.pid)

        os.kill(child, signal.SIGKILL)

        ended = until(lambda: [x for x in lines(server) if x["message"] == "an API process ended"])
        assert [("api-0", -9)] == [(line["which"], line["returned"]) for line in ended]
