"""The commands in the guides, run as they stand."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import SECRET_KEY, Server
from tests.waiting import until

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / "docs" / "guides"
SAMPLES = sorted((ROOT / "config" / "flags").glob("*.json"))


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


class TestStagedRollouts:
    EVENLY, LISTED, CHANGE, LOOK, LIST, STOP, REVERT = commands("staged-rollouts")
    (BODY,) = re.findall(
        r"^```json\n(.*?)^```",
        (GUIDES / "staged-rollouts.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )

    def test_commands(self, servers, run):
        """
        The commands plan, show, stop and take back what the guide says, with the sample flags.
        """
        (server,) = servers("data")
        assert 0 == server.cli("apply", *SAMPLES).returncode
        before = {row["key"]: row for row in server.api("GET", "feature_flags/")["results"]}

        def said(command):
            ran = run(command, server)
            assert 0 == ran.returncode, ran.stderr
            return ran.stdout.splitlines()

        # What the samples let in is narrowed to what the guide begins with.
        for row in before.values():
            narrow = [{**each, "rollout_percentage": 5} for each in row["filters"]["groups"]]
            server.api("PATCH", f"feature_flags/{row['id']}/", {"filters": {"groups": narrow}})
        flag_id = before["new-billing"]["id"]
        narrow = server.api("GET", f"feature_flags/{flag_id}/")["filters"]

        assert [f"{each} %" for each in (10, 40, 70, 100)] == [
            line.split("\t")[-1] for line in said(self.EVENLY)[1:]
        ]
        assert 3 == len(said(self.LISTED))
        assert said(self.CHANGE)[-1].endswith('{"active": false}')
        (planned,) = json.loads("".join(said(self.LOOK)))["results"]
        assert 100 == planned["steps"][-1]["filters"]["groups"][0]["rollout_percentage"]
        assert 3 == len([line for line in said(self.LIST) if not line.startswith(" ")])
        until(lambda: server.api("GET", f"feature_flags/{flag_id}/")["version"] == 3)
        assert said(self.STOP)[0].endswith("\tstopped")
        assert said(self.REVERT)[0].endswith("\treverted")
        after = server.api("GET", f"feature_flags/{flag_id}/")
        assert narrow == after["filters"]

    def test_body(self, servers):
        """
        The API takes the body.
        """
        (server,) = servers("data")
        server.create_flag("new", {"groups": [{"rollout_percentage": 10}]})

        planned = server.api("POST", "feature_flags/new/schedule/", json.loads(self.BODY))

        assert [60, 100] == [step["rollout_percentage"] for step in planned["steps"]]
