"""Changes of flags that are to come, over the API."""

import pytest

from flagstream.management import DefinitionsWriter, Schedules, iso_time
from tests.fakes.views import EDITOR
from tests.fakes.world import NOW_MS

from .asking import ROOT, get, send

FLAG = {"key": "new", "filters": {"groups": [{"properties": [], "rollout_percentage": 10}]}}
PATH = f"{ROOT}/feature_flags/new/schedule"


def at(seconds):
    return iso_time(NOW_MS + seconds * 1_000)


def steps(*percentages):
    """Steps of a rollout, ten seconds apart."""
    return [
        {"scheduled_at": at(10 * number), "rollout_percentage": each}
        for number, each in enumerate(percentages, 1)
    ]


@pytest.fixture
async def look(world):
    """Do what is due after so many seconds, as every process does."""

    async def look(seconds):
        def clock_ms():
            return NOW_MS + seconds * 1_000

        writer = DefinitionsWriter(
            world.catalog, world.log, world.log, clock_ms=clock_ms, wait_timeout_s=0
        )
        schedules = Schedules(world.catalog, world.view, writer, clock_ms=clock_ms)
        for _ in range(2):
            for due in schedules.due():
                await schedules.advance(due)

    return look


@pytest.fixture
async def plan(client):
    """Plan changes of a flag that there is."""
    await send(client, "POST", f"{ROOT}/feature_flags/", FLAG, 201)

    async def plan(**body):
        return await send(client, "POST", f"{PATH}/", body, 201)

    return plan


class TestPlan:
    async def test_progressive(self, plan, client):
        """
        A plan says what each step makes of the flag, so that each can be looked at before.
        """
        planned = await plan(steps=steps(50, 100))

        assert ("pending", "new", [0]) == (
            planned["status"],
            planned["flag_key"],
            planned["conditions"],
        )
        first, second = planned["steps"]
        assert first == {
            "number": 1,
            "scheduled_at": at(10),
            "status": "pending",
            "change": None,
            "rollout_percentage": 50,
            "applied_at": None,
            "version": None,
            "change_id": None,
            "filters": {"groups": [{"properties": [], "rollout_percentage": 50}]},
        }
        assert 100 == second["filters"]["groups"][0]["rollout_percentage"]
        assert planned == await get(client, f"{PATH}/{planned['id']}")

    async def test_change(self, plan):
        """
        A single change needs no list.
        """
        planned = await plan(scheduled_at=at(10), change={"active": False})

        (step,) = planned["steps"]
        assert ({"active": False}, None) == (step["change"], step["rollout_percentage"])

    async def test_refused(self, plan, client):
        """
        What is wrong is named.
        """
        refused = await send(client, "POST", PATH, {"steps": steps(5)}, 400)

        assert "steps[0].rollout_percentage" == refused["attr"]

    @pytest.mark.parametrize("path", ["feature_flags/old/schedule", "feature_flags/new/schedule/x"])
    async def test_unknown(self, plan, client, path):
        """
        There is nothing at an unknown flag or schedule.
        """
        assert "not_found" == (await get(client, f"{ROOT}/{path}", 404))["code"]


class TestCourse:
    async def test_applied(self, plan, client, look):
        """
        A step that came names the flag's version and the change in its history.
        """
        planned = await plan(steps=steps(25, 50, 100))
        await look(25)

        found = await get(client, f"{ROOT}/feature_flags/1/schedule/{planned['id']}")
        passed, applied, coming = found["steps"]
        assert ("running", 1) == (found["status"], found["version_before"])
        assert ["passed_over", "applied", "pending"] == [
            step["status"] for step in (passed, applied, coming)
        ]
        assert (2, at(25), None) == (applied["version"], applied["applied_at"], applied["filters"])
        activity = await get(client, f"{ROOT}/feature_flags/1/activity")
        newest = activity["results"][0]
        assert (
            applied["change_id"],
            f"schedule {planned['id']}, step 2 of 3 (passed over: 1)",
        ) == (
            newest["id"],
            newest["author"],
        )
        assert ["filters.groups"] == [each["field"] for each in newest["detail"]["changes"]]
        flag = await get(client, f"{ROOT}/feature_flags/1")
        assert {planned["id"]: {"step": 2, "version": 2}} == flag["scheduled_steps"]

    async def test_paused(self, plan, client, look):
        """
        A schedule that somebody's edit is in the way of says so, until it is let go on.
        """
        planned = await plan(steps=steps(50))
        edited = {"groups": [{"properties": [], "rollout_percentage": 20}]}
        await send(client, "PATCH", f"{ROOT}/feature_flags/1", {"filters": edited})
        await look(10)

        found = await get(client, f"{PATH}/{planned['id']}")
        assert ("paused", None) == (found["status"], found["steps"][0]["filters"])
        assert found["reason"].startswith("filters.groups[0]: somebody has changed")
        resumed = await send(client, "POST", f"{PATH}/{planned['id']}/resume")
        assert ("pending", None) == (resumed["status"], resumed["reason"])
        assert 50 == resumed["steps"][0]["filters"]["groups"][0]["rollout_percentage"]

    async def test_stopped(self, plan, client):
        """
        It is stopped in one call, and says by whom.
        """
        planned = await plan(steps=steps(50))

        stopped = await send(client, "POST", f"{PATH}/{planned['id']}/stop")

        assert ("stopped", EDITOR.author, at(0)) == (
            stopped["status"],
            stopped["ended_by"].replace("the secret key", EDITOR.author),
            stopped["ended_at"],
        )
        assert ["cancelled"] == [step["status"] for step in stopped["steps"]]
        conflict = await send(client, "POST", f"{PATH}/{planned['id']}/resume", expected=409)
        assert "conflict" == conflict["code"]

    async def test_reverted(self, plan, client, look):
        """
        It is reverted in one call, and the answer comes once flags are as before.
        """
        planned = await plan(steps=steps(50, 100))
        await look(20)

        reverted = await send(client, "POST", f"{PATH}/{planned['id']}/revert")

        assert "reverted" == reverted["status"]
        flag = await get(client, f"{ROOT}/feature_flags/1")
        assert (FLAG["filters"], {}) == (flag["filters"], flag["scheduled_steps"])


class TestLists:
    async def test_of_a_flag(self, plan, client):
        """
        A flag lists all of its schedules, the newest first.
        """
        planned = [await plan(scheduled_at=at(each), change={"name": "x"}) for each in (5, 6)]

        listed = await get(client, PATH)

        assert (2, planned[::-1]) == (listed["count"], listed["results"])

    async def test_of_a_project(self, plan, client):
        """
        A project lists what is to come; what was ended as well, where that is asked for.
        """
        first, second = [
            (await plan(scheduled_at=at(each), change={"name": "x"}))["id"] for each in (5, 6)
        ]
        await send(client, "POST", f"{PATH}/{first}/stop")

        listed = [
            [each["id"] for each in (await get(client, f"{ROOT}/schedules{query}"))["results"]]
            for query in ("", "?status=open", "?status=all")
        ]

        assert [[second], [second], [second, first]] == listed
        assert "status" == (await get(client, f"{ROOT}/schedules?status=x", 400))["attr"]
