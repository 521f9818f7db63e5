"""``flagstream schedule``, against the real API."""

import json

import pytest

from flagstream.management import new_row
from tests.fakes.access import PROJECT

CONDITION = {"properties": [], "rollout_percentage": 5}
FLAG = {"key": "new", "filters": {"groups": [CONDITION, CONDITION]}}
LATE = "2999-01-01T00:00:00Z"


@pytest.fixture
def schedule(command, world):
    """Run a subcommand where there is a flag."""
    world.catalog.set_flag(new_row(FLAG, flag_id=1, bucketing="sha1", now_ms=0))

    async def schedule(*arguments):
        return await command("schedule", *arguments)

    return schedule


def plans(world):
    return [each.plan for each in world.catalog.project(PROJECT.id).schedules.values()]


class TestAdd:
    async def test_change(self, schedule, world):
        """
        A change at a time.
        """
        said = await schedule("add", "new", "--at", LATE, "--change", '{"active": false}')

        (plan,) = plans(world)
        assert {"active": False} == plan.steps[0].change
        first, step = said.stdout.splitlines()
        assert first.endswith("\tnew\tpending")
        assert f"  1\t{LATE}\tpending\t{json.dumps(plan.steps[0].change)}" == step

    async def test_listed(self, schedule, world):
        """
        Steps one by one, of which the first may be now.
        """
        said = await schedule("add", "new", "--step", "12.5", "--step", f"100@{LATE}")

        (plan,) = plans(world)
        assert ([12.5, 100], [0, 1]) == (
            [each.rollout_percentage for each in plan.steps],
            plan.conditions,
        )
        assert f"  2\t{LATE}\tpending\t100 %" == said.stdout.splitlines()[-1]

    async def test_evenly(self, schedule, world):
        """
        Steps by where they begin and end.
        """
        await schedule(
            *("add", "new", "--from", "10", "--to", "100", "--steps", "4", "--over", "3d"),
            *("--at", LATE, "--condition", "1"),
        )

        (plan,) = plans(world)
        assert ([10, 40, 70, 100], [1]) == (
            [each.rollout_percentage for each in plan.steps],
            plan.conditions,
        )
        assert 3 * 86_400_000 == plan.steps[-1].at_ms - plan.steps[0].at_ms

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            ([], 1, "answered 400: steps: expected either steps, or a change, or progressive\n"),
            (["--change", "{"], 1, "Error: --change: not JSON: Expecting property name"),
            (["--over", "3 days"], 2, "expected a number with s, m, h, d or w behind it"),
            (["--step", "half"], 2, "expected PERCENT@TIME, got half"),
        ],
    )
    async def test_wrong(self, schedule, arguments, code, said):
        """
        What cannot be planned is a line.
        """
        result = await schedule("add", "new", *arguments)

        assert code == result.exit_code
        assert said in result.stderr


class TestEnds:
    @pytest.mark.parametrize(("action", "status"), [("stop", "stopped"), ("revert", "reverted")])
    async def test_the_only_one(self, schedule, action, status):
        """
        The only schedule of a flag need not be named.
        """
        await schedule("add", "new", "--step", f"100@{LATE}")

        said = await schedule(action, "new")

        assert said.stdout.splitlines()[0].endswith(f"\tnew\t{status}")
        assert "" == (await schedule("list")).stdout
        assert f"\t{status}\n" in (await schedule("list", "new")).stdout

    async def test_several(self, schedule):
        """
        Of several, which one is meant has to be said.
        """
        added = [
            (await schedule("add", "new", "--at", LATE, "--change", change)).stdout.split("\t")[0]
            for change in ('{"name": "a"}', '{"active": false}')
        ]

        asked = await schedule("stop", "new")
        stopped = await schedule("stop", "new", added[0])

        assert asked.stderr == (
            f"Error: SCHEDULE_ID: expected which one to stop: there is {added[1]}, {added[0]}\n"
        )
        assert stopped.stdout.startswith(added[0])

    async def test_none(self, schedule):
        """
        Without any there is nothing to resume.
        """
        asked = await schedule("resume", "new")

        assert "expected which one to resume: there is none" in asked.stderr
