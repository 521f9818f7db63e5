"""Steps of schedules while processes are killed: each comes once, or is told to be passed over."""

import os
import random
import re
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.crash.test_api_processes import api_pids, start
from tests.waiting import until

STEPS, EVERY_S = 8, 1.0
ABOUT = {"aggregation_group_type_index": 0}
ROLLOUT = {"groups": [{"properties": [], "rollout_percentage": 0}], **ABOUT}
AUTHOR = re.compile(r"schedule \S+, step (\d+) of \d+(?: \(passed over: ([\d, ]+)\))?")


def rising(steps=STEPS, every_s=EVERY_S, lead_s=1.0):
    """Steps to 100 %, the first of them after a while."""
    first = datetime.now(UTC) + timedelta(seconds=lead_s)
    return [
        {
            "scheduled_at": (first + timedelta(seconds=every_s * at)).isoformat(),
            "rollout_percentage": 100 * (at + 1) / steps,
        }
        for at in range(steps)
    ]


def plan(server, **body):
    """Plan steps of the flag."""
    return server.api("POST", "feature_flags/new/schedule/", body)["id"]


def is_done(server, schedule_id):
    """Tell whether all steps are noted."""
    found = server.api("GET", f"feature_flags/new/schedule/{schedule_id}/")
    return found["status"] == "done" and found["steps"][-1]["applied_at"] is not None


def changes(server):
    """The flag's history, the creation left out, oldest first."""
    return server.api("GET", "feature_flags/1/activity/")["results"][-2::-1]


def told(server):
    """The numbers of the steps as history tells of them: those that came, and those passed over."""
    came, passed = [], []
    for change in changes(server):
        found = AUTHOR.fullmatch(change["author"])
        assert found, change["author"]
        came.append(int(found[1]))
        passed += map(int, (found[2] or "").split(", ") if found[2] else [])
    return came, passed


def rollouts(server):
    """The rollouts that the flag had, in the order of its history."""
    return [
        difference["after"][0]["rollout_percentage"]
        for change in changes(server)
        for difference in change["detail"]["changes"]
        if difference["field"] == "filters.groups"
    ]


class TestKilled:
    def test_at_any_moment(self, make_server):
        """
        Killed around every step and started again, each step came once or is told to be passed
        over, none twice and none late, and log, tables and views agree.
        """
        seed = time.time_ns()
        moments = random.Random(seed)
        server = make_server()
        server.start()
        server.create_flag("new", ROLLOUT)
        schedule_id = plan(server, steps=rising(every_s=2.0))

        for _ in range(6):
            time.sleep(moments.uniform(0.2, 2.2))
            server.kill()
            server.start()
        until(lambda: is_done(server, schedule_id), 30)

        came, passed = told(server)
        assert list(range(1, STEPS + 1)) == sorted([*came, *passed]), f"seed {seed}"
        assert sorted(came) == came
        assert sorted(rollouts(server)) == rollouts(server)
        assert 100 == rollouts(server)[-1]
        assert 0 == server.terminate()
        verified = server.cli("verify")
        assert 0 == verified.returncode, verified.stdout + verified.stderr

    def test_down_over_several_steps(self, make_server):
        """
        After a time without a server what is due counts, and the steps between are told.
        """
        server = make_server()
        server.start()
        server.create_flag("new", ROLLOUT)
        steps = rising(steps=3, every_s=0.2, lead_s=0.5)
        schedule_id = plan(server, steps=steps)
        server.kill()
        due = datetime.fromisoformat(steps[-1]["scheduled_at"])
        until(lambda: datetime.now(UTC) > due)
        server.start()
        until(lambda: is_done(server, schedule_id))

        assert ([3], [1, 2]) == told(server)
        found = server.api("GET", f"feature_flags/new/schedule/{schedule_id}/")
        assert ["passed_over", "passed_over", "applied"] == [
            step["status"] for step in found["steps"]
        ]

    def test_reverted_and_killed(self, make_server):
        """
        A revert that was acknowledged holds, whenever the server is killed.
        """
        server = make_server()
        server.start()
        server.create_flag("new", ROLLOUT)
        steps = [{"rollout_percentage": 50}, *rising(steps=1, lead_s=600)]
        schedule_id = plan(server, steps=steps)
        until(lambda: rollouts(server) == [50])

        server.api("POST", f"feature_flags/new/schedule/{schedule_id}/revert/")
        server.kill()
        server.start()

        flag = server.api("GET", "feature_flags/1/")
        assert (ROLLOUT, {}) == (flag["filters"], flag["scheduled_steps"])
        assert (
            "reverted"
            == (server.api("GET", f"feature_flags/new/schedule/{schedule_id}/")["status"])
        )


class TestProcesses:
    @pytest.fixture
    def server(self, make_server):
        server = make_server(api_processes=2)
        start(server, 2)
        server.create_flag("new", ROLLOUT)
        return server

    def test_two(self, server):
        """
        Two processes that both carry out make each step once, also where one of them is killed.
        """
        schedule_id = plan(server, steps=rising())
        until(lambda: len(changes(server)) == 3)
        os.kill(api_pids(server)[0], signal.SIGKILL)
        until(lambda: is_done(server, schedule_id), 30)

        came, passed = told(server)
        assert list(range(1, STEPS + 1)) == sorted([*came, *passed])
        assert sorted(came) == came
        assert STEPS - len(passed) + 1 == server.api("GET", "feature_flags/1/")["version"]
