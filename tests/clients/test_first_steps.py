"""What a newcomer does with nothing but what the server printed."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.waiting import until

EXAMPLES = Path(__file__).parents[2] / "config" / "flags"


@pytest.fixture
def server(make_server):
    """A server that was given no keys."""
    server = make_server(project_token="", secret_key="")
    server.start()
    return server


def shell(command):
    """Run a command; its output is JSON."""
    ran = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=20, check=True
    )
    return json.loads(ran.stdout)


def exported_keys(server):
    return [flag["key"] for flag in json.loads(server.cli("export").stdout)["flags"]]


class TestFirstSteps:
    def test_printed_commands(self, server):
        """
        The three commands work as they are printed.
        """
        printed = server.log.read_text().partition("Try it:")[2]
        capture, flags, groups = re.findall(
            r"^  curl .*?(?=\n\n|\Z)", printed, re.MULTILINE | re.DOTALL
        )

        assert 1 == shell(capture)["status"]
        assert {} == shell(flags)["flags"]
        until(lambda: ["acme"] == [group["group_key"] for group in shell(groups)["results"]])

    def test_examples(self, server):
        """
        The examples can be applied, are there then, and a second time change nothing.
        """
        first = server.cli("apply", *sorted(EXAMPLES.glob("*.json")))
        second = server.cli("apply", *sorted(EXAMPLES.glob("*.json")))
        exported = exported_keys(server)

        assert "3 added, 0 changed, 0 unchanged" == first.stdout.splitlines()[-1], first.stderr
        assert "0 added, 0 changed, 3 unchanged" == second.stdout.splitlines()[-1], second.stderr
        assert exported == sorted(file.stem for file in EXAMPLES.glob("*.json"))

    def test_stop(self, server):
        """
        SIGTERM ends it in time, and what was accepted is there after the next start.
        """
        server.cli("apply", EXAMPLES / "beta-testers.json")

        assert 0 == server.terminate()
        server.start()

        assert ["beta-testers"] == exported_keys(server)
