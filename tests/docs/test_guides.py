"""The commands in the guides, run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import SECRET_KEY, Server

GUIDES = Path(__file__).parents[2] / "docs" / "guides"


def commands(guide):
    """Take a guide's commands, as a shell takes them."""
    text = (GUIDES / f"{guide}.md").read_text()
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block.removeprefix("$ ") for block in blocks]


@pytest.fixture
def servers(tmp_path):
    """Start servers."""
    started = []

    def servers(*names):
        for name in names:
            started.append(Server(tmp_path / name))
            started[-1].start()
        return started

    yield servers

    for server in started:
        server.kill()


@pytest.fixture
def run(tmp_path):
    """Run a command with what the guides say is set."""

    def run(command, server, **environment):
        return subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "FLAGS_URL": server.url,
                "FLAGSTREAM_SECRET_KEY": SECRET_KEY,
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


class TestMigration:
    TAKE, LOOK, APPLY, COMPARE, BACK = commands("migrate-from-posthog")

    def test_commands(self, servers, run):
        """
        Flags move from a server that answers as PostHog does, and everybody keeps their answer.
        """
        theirs, ours = servers("theirs", "ours")
        theirs.set_group("organization", "acme", plan="gold")
        theirs.api("POST", "cohorts/", {"name": "Some", "is_static": True, "members": ["user-1"]})
        gold = {"key": "plan", "type": "group", "group_type_index": 0, "value": "gold"}
        about = {"aggregation_group_type_index": 0}
        rollout = {"groups": [{"properties": [gold], "rollout_percentage": 50}], **about}
        in_some = {"groups": [{"properties": [{"key": "id", "type": "cohort", "value": 1}]}]}
        theirs.create_flag("beta", rollout, bucketing="sha1")
        theirs.create_flag("some", in_some, bucketing="sha1")
        posthog = {
            "POSTHOG_HOST": theirs.url,
            "POSTHOG_PROJECT": "@current",
            "POSTHOG_KEY": SECRET_KEY,
        }

        taken = run(self.TAKE, ours, **posthog)
        looked = run(self.LOOK, ours)
        applied = run(self.APPLY, ours)
        for server in (theirs, ours):
            for number in range(20):
                server.set_group("organization", number, plan="gold")

        assert (0, "") == (taken.returncode, taken.stderr)
        assert (1, "") == (looked.returncode, looked.stdout)
        assert "cohort 1: a static cohort: " in looked.stderr
        assert (0, "1 added, 0 changed, 0 unchanged") == (
            applied.returncode,
            applied.stdout.splitlines()[-1],
        )
        answers = [
            [server.flags("u", {"organization": number})["beta"]["enabled"] for number in range(20)]
            for server in (theirs, ours)
        ]
        assert answers[0] == answers[1]
        assert {True, False} == set(answers[0])
        compared, written = run(self.COMPARE, ours), run(self.BACK, ours)
        assert '"beta"' in compared.stdout
        assert (0, 0) == (compared.returncode, written.returncode)
