"""Changes of flags that are to come: when they come, what stops them, and who else carries out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstream.errors import (
    ConflictError,
    InvalidRequestError,
    LogUnavailableError,
    NotFoundError,
)
from flagstream.flags import EvaluationContext, compile_flags
from flagstream.management import (
    DefinitionsWriter,
    Editor,
    Management,
    Schedules,
    iso_time,
    schedules,
    status,
    step_status,
)
from flagstream.state.definitions import Kind
from tests.fakes.access import PROJECT
from tests.fakes.views import EDITOR, FakeCatalog, FakeDefinitionsLog, FakeView

START_MS = 1_764_000_000_000
GOLD = {"key": "plan", "type": "group", "group_type_index": 0, "value": "gold"}
ABOUT = {"aggregation_group_type_index": 0}
ON_GOLD = {"key": "plan", "type": "person", "value": "gold"}
COHORT = {
    "name": "Gold",
    "filters": {"properties": {"type": "AND", "values": [ON_GOLD]}},
}
ROLLOUT = {"groups": [{"properties": [GOLD], "rollout_percentage": 10}], **ABOUT}


def at(seconds):
    """A time of so many seconds behind the start."""
    return iso_time(START_MS + seconds * 1_000)


def rising(*percentages, every=10):
    """Steps of a rollout, the first of them after ten seconds."""
    return [
        {"scheduled_at": at(every * number), "rollout_percentage": each}
        for number, each in enumerate(percentages, 1)
    ]


class Node:
    """A process that answers, beside others on the same log."""

    def __init__(self, catalog, view, log, clock):
        self.catalog, self.view = catalog, view
        writer = DefinitionsWriter(catalog, log, log, clock_ms=clock, wait_timeout_s=0)
        self.management = Management(writer, clock_ms=clock)
        self.schedules = Schedules(catalog, view, writer, clock_ms=clock)

    async def look(self):
        """Do what is due."""
        for due in self.schedules.due():
            await self.schedules.advance(due)


class World:
    """A project with a flag, and nodes whose clocks a test sets."""

    def __init__(self):
        self.now_ms = START_MS
        self.catalog, self.view = FakeCatalog("company"), FakeView()
        self.log = FakeDefinitionsLog(self.catalog, self.view)
        self.node = self.another()

    def another(self, catalog=None, log=None):
        return Node(catalog or self.catalog, self.view, log or self.log, lambda: self.now_ms)

    async def pass_s(self, *seconds):
        """Let a time come that is so far from the start, and look twice, as every second."""
        for each in seconds:
            self.now_ms = START_MS + each * 1_000
            await self.node.look()
            await self.node.look()

    async def plan(self, **body):
        return (await self.node.schedules.add(EDITOR, "new", body)).id

    @property
    def row(self):
        return self.catalog.project(PROJECT.id).flag_rows["new"]

    @property
    def rollout(self):
        return self.row["filters"]["groups"][0]["rollout_percentage"]

    async def edit(self, author=EDITOR.author, **body):
        editor = Editor(PROJECT.id, author)
        return await self.node.management.update_flag(editor, self.row["id"], body)

    def schedule(self, schedule_id):
        return self.catalog.project(PROJECT.id).schedules[schedule_id]

    def status(self, schedule_id):
        return status(self.schedule(schedule_id), self.row)

    def steps(self, schedule_id):
        schedule = self.schedule(schedule_id)
        numbers = range(1, len(schedule.plan.steps) + 1)
        return [step_status(schedule, self.row, number) for number in numbers]

    @property
    def authors(self):
        """Whose changes the flag's history has, the creation left out."""
        return [
            change.state.author for change in self.view.history(PROJECT.id, Kind.FLAG, "new")[1:]
        ]


@pytest.fixture
async def world():
    world = World()
    await world.node.management.create_flag(EDITOR, {"key": "new", "filters": ROLLOUT})
    return world


class TestSteps:
    async def test_in_time(self, world):
        """
        Each step comes when it is due and not before, once, and history tells of it.
        """
        schedule_id = await world.plan(steps=rising(25, 50, 100))
        seen = []
        for seconds in (9, 10, 15, 20, 29, 30, 40):
            await world.pass_s(seconds)
            seen.append(world.rollout)

        assert [10, 25, 25, 50, 50, 100, 100] == seen
        assert "done" == world.status(schedule_id)
        assert [f"schedule {schedule_id}, step {number} of 3" for number in (1, 2, 3)] == (
            world.authors
        )
        assert 4 == world.row["version"]
        marks = world.schedule(schedule_id).course.marks
        history = world.view.history(PROJECT.id, Kind.FLAG, "new")
        assert [(change.id, change.state.body["version"]) for change in history[1:]] == [
            (mark.change_id, mark.version) for mark in marks
        ]

    async def test_change(self, world):
        """
        Any change can be planned, or several.
        """
        schedule_id = await world.plan(
            steps=[
                {"scheduled_at": at(10), "change": {"active": False}},
                {"scheduled_at": at(20), "change": {"filters": {"groups": []}, "name": "Late"}},
            ]
        )

        await world.pass_s(10)
        assert (False, ROLLOUT) == (world.row["active"], world.row["filters"])
        await world.pass_s(20)
        assert ("Late", {**ROLLOUT, "groups": []}) == (world.row["name"], world.row["filters"])
        assert "done" == world.status(schedule_id)

    async def test_now(self, world):
        """
        A change without a time comes at once.
        """
        await world.plan(change={"active": False})
        await world.pass_s(0)

        assert not world.row["active"]

    async def test_evenly(self, world):
        """
        Steps can be told by where they begin and end, how many and how long.
        """
        progressive = {"from": 10, "to": 100, "steps": 4, "duration_s": 86_400}

        schedule_id = await world.plan(progressive=progressive)

        plan = world.schedule(schedule_id).plan
        assert [(0, 10), (28_800, 40), (57_600, 70), (86_400, 100)] == [
            ((step.at_ms - START_MS) / 1_000, step.rollout_percentage) for step in plan.steps
        ]

    async def test_passed_over(self, world):
        """
        After a time in which nothing ran, what is due counts; what was passed over is told.
        """
        schedule_id = await world.plan(steps=rising(25, 50, 75, 100))

        await world.pass_s(35)

        assert 75 == world.rollout
        assert ["passed_over", "passed_over", "applied", "pending"] == world.steps(schedule_id)
        assert [f"schedule {schedule_id}, step 3 of 4 (passed over: 1, 2)"] == world.authors

    async def test_passed_over_changes(self, world):
        """
        Of changes that were passed over each is in what comes.
        """
        await world.plan(
            steps=[
                {"scheduled_at": at(10), "change": {"active": False}},
                {"scheduled_at": at(20), "change": {"name": "Late"}},
            ]
        )

        await world.pass_s(25)

        assert (False, "Late") == (world.row["active"], world.row["name"])
        assert 2 == world.row["version"]

    async def test_named_conditions_alone(self, world):
        """
        A rollout widens the conditions that it names, and those only.
        """
        await world.edit(filters={"groups": [{"rollout_percentage": each} for each in (5, 6, 7)]})
        await world.plan(steps=rising(20), conditions=[0, 2])

        await world.pass_s(10)

        conditions = world.row["filters"]["groups"]
        assert [20, 6, 20] == [each["rollout_percentage"] for each in conditions]

    async def test_two_schedules(self, world):
        """
        Schedules of other members go on beside each other.
        """
        first = await world.plan(steps=rising(20, 30))
        second = await world.plan(scheduled_at=at(15), change={"name": "Late"})

        await world.pass_s(10, 15, 20)

        assert (30, "Late") == (world.rollout, world.row["name"])
        assert ["done", "done"] == [world.status(each) for each in (first, second)]

    @given(
        percentages=st.lists(st.integers(0, 100_000), min_size=1, max_size=5, unique=True),
        bucketing=st.sampled_from(["murmur3", "sha1"]),
        keys=st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=20),
    )
    async def test_nobody_falls_out(self, percentages, bucketing, keys):
        """
        While steps rise, a group that is in stays in.
        """
        world = World()
        filters = {"groups": [{"rollout_percentage": 0}], **ABOUT}
        body = {"key": "new", "filters": filters, "bucketing": bucketing}
        await world.node.management.create_flag(EDITOR, body)
        steps = rising(*(each / 1_000 for each in sorted(percentages) if each))
        if steps:
            await world.plan(steps=steps)
        before = set()
        for number in range(1, len(steps) + 1):
            await world.pass_s(10 * number)
            flags = compile_flags({"new": world.row}, {"company": 0})
            contexts = [EvaluationContext(distinct_id="u", groups={"company": key}) for key in keys]
            answers = [flags.answers(context) for context in contexts]
            inside = {key for key, (each,) in zip(keys, answers, strict=True) if each.value}

            assert before <= inside
            before = inside


class TestEdits:
    async def test_elsewhere(self, world):
        """
        An edit of something else stays, and the steps go on.
        """
        schedule_id = await world.plan(steps=rising(25, 50))
        await world.pass_s(10)
        await world.edit(name="Renamed", filters={"payloads": {"true": "5"}})
        await world.pass_s(20)

        assert ("Renamed", 50, "done") == (
            world.row["name"],
            world.rollout,
            world.status(schedule_id),
        )
        assert {"true": "5"} == world.row["filters"]["payloads"]

    @pytest.mark.parametrize(
        ("filters", "path"),
        [
            ({"groups": [{"properties": [GOLD], "rollout_percentage": 30}]}, "filters.groups[0]"),
            ({"groups": [{"properties": [], "rollout_percentage": 25}]}, "filters.groups[0]"),
            ({"groups": []}, "filters.groups[0]"),
            ({"aggregation_group_type_index": 1}, "filters.groups[0]"),
        ],
    )
    async def test_of_the_same(self, world, filters, path):
        """
        An edit of what steps change pauses the schedule, with the reason, and is never overwritten.
        """
        schedule_id = await world.plan(steps=rising(25, 50))
        await world.pass_s(10)
        edited = await world.edit(filters=filters)
        await world.pass_s(20, 30)

        assert edited == world.row
        assert "paused" == world.status(schedule_id)
        assert f"{path}: somebody has changed what this schedule was to change" == (
            world.schedule(schedule_id).course.paused
        )

    async def test_of_the_same_member(self, world):
        """
        So does one of a member that a planned change sets.
        """
        schedule_id = await world.plan(scheduled_at=at(10), change={"active": False, "name": "x"})
        await world.edit(name="mine")
        await world.pass_s(10)

        assert (True, "mine") == (world.row["active"], world.row["name"])
        assert "name: somebody has" in world.schedule(schedule_id).course.paused

    async def test_words_for_people(self, world):
        """
        A condition that is only described otherwise is the same.
        """
        schedule_id = await world.plan(steps=rising(25))
        condition = {**ROLLOUT["groups"][0], "description": "Large customers", "sort_key": 4}
        await world.edit(filters={"groups": [condition]})
        await world.pass_s(10)

        assert (25, "done") == (world.rollout, world.status(schedule_id))
        assert "Large customers" == world.row["filters"]["groups"][0]["description"]

    async def test_deleted(self, world):
        """
        A flag that was deleted pauses its schedules, and so does one made anew under its key.
        """
        schedule_id = await world.plan(steps=rising(25))
        await world.edit(deleted=True)
        await world.node.management.create_flag(EDITOR, {"key": "new", "filters": ROLLOUT})
        await world.pass_s(10)

        assert (10, "the flag was deleted") == (
            world.rollout,
            world.schedule(schedule_id).course.paused,
        )

    async def test_not_taken(self, world):
        """
        A step that the flag does not take any more pauses the schedule.
        """
        cohort = await world.node.management.create_cohort(
            EDITOR, {"name": "Some", "is_static": True, "members": ["a"]}
        )
        in_cohort = {"key": "id", "type": "cohort", "value": cohort["id"]}
        filters = {"groups": [{"properties": [in_cohort]}]}
        schedule_id = await world.plan(scheduled_at=at(10), change={"filters": filters})
        await world.node.management.update_cohort(EDITOR, cohort["id"], {"deleted": True})
        await world.pass_s(10)

        assert "expected the id of a cohort" in world.schedule(schedule_id).course.paused
        assert 10 == world.rollout

    async def test_resumed(self, world):
        """
        Somebody can let it go on, on top of the edit.
        """
        schedule_id = await world.plan(steps=rising(25, 50))
        await world.pass_s(10)
        await world.edit(filters={"groups": [{"properties": [], "rollout_percentage": 30}]})
        await world.pass_s(20)

        await world.node.schedules.resume(EDITOR, "new", schedule_id)
        await world.pass_s(21)

        assert (50, "done") == (world.rollout, world.status(schedule_id))
        assert [] == world.row["filters"]["groups"][0]["properties"]

    async def test_not_resumed(self, world):
        """
        Not where what it was to change has gone, nor where it goes on by itself.
        """
        schedule_id = await world.plan(steps=rising(25))
        with pytest.raises(ConflictError, match="not paused"):
            await world.node.schedules.resume(EDITOR, "new", schedule_id)
        await world.edit(filters={"groups": []})
        await world.pass_s(10)

        with pytest.raises(ConflictError, match="not there any more"):
            await world.node.schedules.resume(EDITOR, "new", schedule_id)


class TestEnds:
    async def test_stopped(self, world):
        """
        A schedule that was stopped changes nothing any more; what it did stays.
        """
        schedule_id = await world.plan(steps=rising(25, 50))
        await world.pass_s(10)

        for _ in range(2):
            await world.node.schedules.stop(EDITOR, "new", schedule_id)
        await world.pass_s(20)

        assert (25, "stopped") == (world.rollout, world.status(schedule_id))
        assert ["applied", "cancelled"] == world.steps(schedule_id)

    async def test_done_is_not_stopped(self, world):
        """
        What has come cannot be stopped.
        """
        schedule_id = await world.plan(steps=rising(25))
        await world.pass_s(10)

        with pytest.raises(ConflictError, match="revert it instead"):
            await world.node.schedules.stop(EDITOR, "new", schedule_id)

    @pytest.mark.parametrize("seconds", [10, 20, 30])
    @pytest.mark.parametrize("is_stopped", [True, False])
    async def test_reverted(self, world, seconds, is_stopped):
        """
        In one call the flag is as it was before the first step, whatever came since.
        """
        await world.edit(name="Before")
        schedule_id = await world.plan(steps=rising(25, 50, 100))
        before = world.row
        await world.pass_s(*range(10, seconds + 1, 10))
        if is_stopped and seconds < 30:
            await world.node.schedules.stop(EDITOR, "new", schedule_id)

        for _ in range(2):
            await world.node.schedules.revert(EDITOR, "new", schedule_id)
        await world.pass_s(40)

        counted = ("version", "updated_at", "scheduled_steps")
        assert {name: value for name, value in before.items() if name not in counted} == {
            name: value for name, value in world.row.items() if name not in counted
        }
        assert "reverted" == world.status(schedule_id)
        assert f"{EDITOR.author}, schedule {schedule_id} reverted" == world.authors[-1]
        assert 2 + seconds // 10 == len(world.authors)

    @pytest.fixture
    async def dependent(self, world):
        """A flag that had asked for a cohort until a schedule took that out; gives its id."""
        management = world.node.management
        cohort = await management.create_cohort(EDITOR, COHORT)
        asks = {"key": "id", "type": "cohort", "value": cohort["id"]}
        await world.edit(filters={"groups": [{"properties": [asks]}]})
        schedule_id = await world.plan(change={"filters": {"groups": [{}]}})
        await world.pass_s(1)

        async def delete(*, is_deleted=True):
            await management.update_cohort(EDITOR, cohort["id"], {"deleted": is_deleted})

        return schedule_id, delete

    async def test_what_cannot_be_reverted(self, world, dependent):
        """
        Where the flag cannot be as before any more that is said, and the schedule is not ended.
        """
        schedule_id, delete = dependent
        await delete()

        with pytest.raises(InvalidRequestError, match="cohort"):
            await world.node.schedules.revert(EDITOR, "new", schedule_id)

        assert "done" == world.status(schedule_id)

    async def test_what_could_be_reverted(self, world, dependent):
        """
        Where that comes between, the schedule says so; others go on, and it may be asked again.
        """
        schedule_id, delete = dependent
        killed = world.another(log=FailingLog(world.log, 1))
        with pytest.raises(LogUnavailableError):
            await killed.schedules.revert(EDITOR, "new", schedule_id)
        await delete()
        later = await world.plan(change={"name": "later"})
        await world.pass_s(2)

        assert ("later", "done") == (world.row["name"], world.status(later))
        assert world.schedule(schedule_id).course.unrestorable
        assert [] == world.node.schedules.due()
        with pytest.raises(InvalidRequestError):
            await world.node.schedules.revert(EDITOR, "new", schedule_id)
        await delete(is_deleted=False)
        await world.node.schedules.revert(EDITOR, "new", schedule_id)
        assert "cohort" == world.row["filters"]["groups"][0]["properties"][0]["type"]
        assert world.schedule(schedule_id).course.unrestorable is None

    async def test_reverted_before_the_first_step(self, world):
        """
        Where nothing came yet nothing is undone.
        """
        schedule_id = await world.plan(steps=rising(25))
        before = world.row
        await world.node.schedules.revert(EDITOR, "new", schedule_id)
        await world.pass_s(10)

        assert before == world.row

    async def test_done_for_good(self, world):
        """
        What a schedule did does not come again, however many others come after it.
        """
        first = await world.plan(change={"active": False}, scheduled_at=at(1))
        await world.pass_s(1)
        await world.edit(active=True)
        for number in range(2, 27):
            await world.plan(change={"name": str(number)}, scheduled_at=at(number))
            await world.pass_s(number)

        await world.pass_s(30)

        assert (True, "done") == (world.row["active"], world.status(first))

    async def test_many_since(self, world):
        """
        Of very many schedules the first cannot be reverted any more.
        """
        first = await world.plan(change={"name": "0"})
        for number in range(1, 22):
            await world.pass_s(number)
            await world.plan(change={"name": str(number)})
        await world.pass_s(22)

        with pytest.raises(ConflictError, match="too long ago"):
            await world.node.schedules.revert(EDITOR, "new", first)


class FailingLog(FakeDefinitionsLog):
    """Takes so many appends, and then none: as a process that is killed."""

    def __init__(self, log, appends):
        self._log, self._left = log, appends

    async def append(self, appends):
        if self._left == 0:
            raise LogUnavailableError("killed")
        self._left -= 1
        return await self._log.append(appends)

    async def wait_visible(self, positions, timeout_s):
        return True


class FrozenCatalog:
    """A node's catalog that is behind."""

    def __init__(self, catalog):
        self._snapshot = catalog.project(PROJECT.id)

    def project(self, project_id):
        return self._snapshot

    def project_ids(self):
        return [PROJECT.id]


class TestKilled:
    @pytest.mark.parametrize("appends", range(4))
    async def test_step(self, world, appends):
        """
        Wherever a process is killed in a step, the next does the rest, and the step came once.
        """
        schedule_id = await world.plan(steps=rising(25, 50))
        world.now_ms += 10_000
        killed = world.another(log=FailingLog(world.log, appends))
        try:
            await killed.look()
            await killed.look()
        except LogUnavailableError:
            pass
        await world.pass_s(11, 20)

        assert (50, 3, "done") == (
            world.rollout,
            world.row["version"],
            world.status(schedule_id),
        )
        assert 2 == len(world.authors)
        assert 1 == world.schedule(schedule_id).course.before["version"]

    @pytest.mark.parametrize("appends", range(2))
    async def test_revert(self, world, appends):
        """
        Likewise in the midst of a revert: sent again, or finished by whoever looks next.
        """
        schedule_id = await world.plan(steps=rising(25, 50))
        await world.pass_s(10)
        killed = world.another(log=FailingLog(world.log, appends))

        with pytest.raises(LogUnavailableError):
            await killed.schedules.revert(EDITOR, "new", schedule_id)
        if appends == 0:
            await world.node.schedules.revert(EDITOR, "new", schedule_id)
        await world.pass_s(11, 20)

        assert (10, "reverted") == (world.rollout, world.status(schedule_id))


class TestSeveralNodes:
    async def test_at_once(self, world):
        """
        A node that does not see yet what another has done does the very same; history has it once.
        """
        schedule_id = await world.plan(steps=rising(25, 50))
        await world.pass_s(10)
        behind = world.another(FrozenCatalog(world.catalog))
        world.now_ms = START_MS + 20_000

        await world.node.look()
        done = world.row
        await behind.look()

        assert done == world.row
        assert [f"schedule {schedule_id}, step {number} of 2" for number in (1, 2)] == (
            world.authors
        )

    @pytest.mark.parametrize("author", [EDITOR.author, "schedule bot (1-abc)"])
    async def test_behind_an_edit(self, world, author):
        """
        A step of a node that did not see a person's edit does not hide it for long.
        """
        schedule_id = await world.plan(steps=rising(25, 50))
        await world.pass_s(10)
        behind = world.another(FrozenCatalog(world.catalog))
        condition = {"properties": [], "rollout_percentage": 30}
        await world.edit(filters={"groups": [condition]}, name="mine", author=author)
        world.now_ms = START_MS + 20_000

        await behind.look()
        assert 50 == world.rollout
        await world.pass_s(21, 22)

        assert ("mine", [condition]) == (world.row["name"], world.row["filters"]["groups"])
        assert "paused" == world.status(schedule_id)
        assert world.authors[-1].startswith(f"{author}, restored from under schedule ")

    async def test_step_comes_once_more(self, world):
        """
        Where the edit was of something else, the step comes on top of it.
        """
        schedule_id = await world.plan(steps=rising(25, 50))
        await world.pass_s(10)
        behind = world.another(FrozenCatalog(world.catalog))
        await world.edit(name="mine")
        world.now_ms = START_MS + 20_000

        await behind.look()
        await world.pass_s(21, 22)

        assert ("mine", 50, "done") == (
            world.row["name"],
            world.rollout,
            world.status(schedule_id),
        )

    async def test_edit_behind_a_step(self, world):
        """
        A step that is hidden by the edit of a node that did not see it comes once more.
        """
        schedule_id = await world.plan(steps=rising(25, 50))
        await world.pass_s(10)
        behind = world.another(FrozenCatalog(world.catalog))
        await world.pass_s(20)
        await behind.management.update_flag(EDITOR, world.row["id"], {"name": "mine"})
        assert 25 == world.rollout

        await world.pass_s(21)

        assert ("mine", 50, "done") == (
            world.row["name"],
            world.rollout,
            world.status(schedule_id),
        )


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({}, "steps: expected either steps, or a change, or progressive"),
            ({"steps": [], "change": {}}, "steps: expected either steps, or a change"),
            ({"steps": []}, "steps: expected a list of 1 to 100 steps, got []"),
            ({"steps": [], "scheduled_at": at(1)}, "scheduled_at: expected the times of the steps"),
            ({"steps": [5]}, "steps[0]: expected an object, got 5"),
            ({"step": 1}, "step: expected no member of this name, got 1"),
            ({"steps": [{"at": 1}]}, "steps[0].at: expected no member of this name, got 1"),
            ({"steps": [{}]}, "steps[0].change: expected either a change or a rollout_percentage"),
            (
                {"steps": [{"rollout_percentage": 101}]},
                "steps[0].rollout_percentage: expected a number from 0 to 100, got 101",
            ),
            (
                {"steps": [{"rollout_percentage": True}]},
                "steps[0].rollout_percentage: expected a number from 0 to 100, got True",
            ),
            (
                {"scheduled_at": "tomorrow", "change": {"active": False}},
                "scheduled_at: expected an ISO 8601 time that is still to come, or null for now",
            ),
            (
                {"scheduled_at": at(-1), "change": {"active": False}},
                "scheduled_at: expected an ISO 8601 time that is still to come",
            ),
            ({"change": []}, "change: expected an object with members of the flag, got []"),
            ({"change": {"key": "x"}}, "change.key: expected no member of this name"),
            ({"change": {"version": 1}}, "change.version: expected no member of this name"),
            ({"change": {"active": 5}}, "steps[0] (2025-11-24T16:00:00Z): $.active: expected "),
            ({"change": {"filters": 5}}, "steps[0] (2025-11-24T16:00:00Z): $.filters: expected"),
            (
                {"change": {"filters": {"groups": [{"rollout_percentage": 101}]}}},
                "steps[0] (2025-11-24T16:00:00Z): $.filters.groups[0].rollout_percentage: ",
            ),
            (
                {"steps": [*rising(50), *rising(100)]},
                "steps[1].scheduled_at: expected a time after that before it",
            ),
            (
                {"steps": [*rising(50), {"scheduled_at": at(99), "change": {"name": "x"}}]},
                "steps[1]: expected a step of the same kind as the first",
            ),
            (
                {"steps": rising(50, 40)},
                "steps[1].rollout_percentage: expected more than 50, as a step lets nobody fall",
            ),
            ({"steps": rising(5)}, "steps[0].rollout_percentage: expected at least 10, as a "),
            (
                {"steps": rising(50), "conditions": [1]},
                "conditions: expected indexes of the flag's 1 conditions, from 0, got [1]",
            ),
            ({"steps": rising(50), "conditions": []}, "conditions: expected indexes of the"),
            ({"steps": rising(50), "conditions": [True]}, "conditions: expected indexes of the"),
            (
                {"change": {"name": "x"}, "conditions": [0]},
                "conditions: expected steps with a rollout_percentage, got [0]",
            ),
            ({"progressive": 5}, "progressive: expected an object, got 5"),
            ({"progressive": {"at": 5}}, "progressive.at: expected no member of this name"),
            ({"progressive": {}}, "progressive.from: expected a number from 0 to 100, got None"),
            (
                {"progressive": {"from": 0, "to": 9, "steps": 1}},
                "progressive.steps: expected a number from 2 to 100, got 1",
            ),
            (
                {"progressive": {"from": 0, "to": 9, "steps": 2, "duration_s": 1}},
                "progressive.duration_s: expected seconds, one for each step at the least",
            ),
        ],
    )
    async def test_refused(self, world, body, said):
        """
        A plan that cannot be is refused with the member that is wrong, and nothing is kept.
        """
        with pytest.raises(InvalidRequestError) as refused:
            await world.plan(**body)

        assert refused.value.detail.startswith(said)
        assert refused.value.attr
        assert {} == world.catalog.project(PROJECT.id).schedules

    async def test_no_conditions(self, world):
        """
        A flag without conditions has no rollout.
        """
        await world.edit(filters={"groups": []})

        with pytest.raises(InvalidRequestError, match="the flag's 0 conditions"):
            await world.plan(steps=rising(50))

    @pytest.mark.parametrize("flag", ["other", "99", "9" * 5_000])
    async def test_no_flag(self, world, flag):
        """
        What is no flag, by id or key, is not found.
        """
        with pytest.raises(NotFoundError):
            await world.node.schedules.add(EDITOR, flag, {"change": {"name": "x"}})

    async def test_by_id(self, world):
        """
        A flag is named by its id as well.
        """
        body = {"change": {"name": "x"}}

        added = await world.node.schedules.add(EDITOR, str(world.row["id"]), body)

        assert "new" == added.plan.flag_key

    async def test_of_another_flag(self, world):
        """
        A schedule is found with its own flag alone.
        """
        await world.node.management.create_flag(EDITOR, {"key": "other"})
        schedule_id = await world.plan(change={"name": "x"})

        with pytest.raises(NotFoundError, match="There is no schedule"):
            await world.node.schedules.stop(EDITOR, "other", schedule_id)

    async def test_deleted_flag(self, world):
        """
        A deleted flag has no future.
        """
        await world.edit(deleted=True)

        with pytest.raises(InvalidRequestError, match="deleted"):
            await world.plan(change={"name": "x"})

    async def test_too_many(self, world):
        """
        A flag has at most ten schedules to come.
        """
        for number in range(10):
            await world.plan(scheduled_at=at(number + 1), change={"name": str(number)})

        with pytest.raises(InvalidRequestError, match="at most 10"):
            await world.plan(change={"name": "x"})

    async def test_too_many_of_a_project(self, world, monkeypatch):
        """
        So has a project its limit; those that are done, stopped or reverted do not count.
        """
        monkeypatch.setattr(schedules, "_MAX_OPEN_OF_PROJECT", 1)
        ended = [await world.plan(change={"name": "x"}, scheduled_at=at(10))]
        with pytest.raises(InvalidRequestError, match="A project has at most 1 schedules to come"):
            await world.plan(change={"name": "y"}, scheduled_at=at(20))

        await world.node.schedules.stop(EDITOR, "new", ended[0])
        ended.append(await world.plan(change={"name": "z"}, scheduled_at=at(20)))
        await world.node.schedules.revert(EDITOR, "new", ended[1])
        ended.append(await world.plan(change={"name": "done"}, scheduled_at=at(30)))
        await world.pass_s(30)

        assert ["stopped", "reverted", "done"] == [world.status(each) for each in ended]
        assert await world.plan(change={"name": "last"}, scheduled_at=at(40))
