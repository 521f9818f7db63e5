"""Flags and cohorts name only cohorts that there are."""

import asyncio
from graphlib import CycleError, TopologicalSorter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstream.errors import ConflictError, InvalidDefinitionError
from flagstream.flags.walk import cohort_tests, flag_tests
from flagstream.management import DefinitionsWriter, Management, named_cohorts
from tests.fakes.views import EDITOR, PROJECT, FakeCatalog, FakeDefinitionsLog


def of(*cohort_ids):
    """A test of membership in each cohort."""
    return [{"key": "id", "type": "cohort", "value": each} for each in cohort_ids]


def cohort(*named, **members):
    """A cohort whose filters name others, each a level deeper."""
    values = []
    for test in reversed(of(*named)):
        values = [test, {"type": "OR", "values": values}] if values else [test]
    return {"name": "C", "filters": {"properties": {"type": "OR", "values": values}}, **members}


def flag(*named, **members):
    plan = {"key": "plan", "type": "person", "value": "gold"}
    groups = [{"properties": []}, {"properties": [plan, *of(*named)]}]
    return {"key": "f", "filters": {"groups": groups}, **members}


class Writing:
    """One project's definitions, written in a few words."""

    def __init__(self):
        self.catalog = FakeCatalog()
        self.log = FakeDefinitionsLog(self.catalog)
        writer = DefinitionsWriter(
            self.catalog, self.log, self.log, clock_ms=lambda: 0, wait_timeout_s=0
        )
        self.management = Management(writer, clock_ms=lambda: 0)

    async def cohorts(self, *bodies):
        for body in bodies:
            await self.management.create_cohort(EDITOR, body)

    async def update(self, cohort_id, **body):
        return await self.management.update_cohort(EDITOR, cohort_id, body)

    async def flag(self, body):
        return await self.management.create_flag(EDITOR, body)

    async def update_flag(self, flag_id, **body):
        return await self.management.update_flag(EDITOR, flag_id, body)


@pytest.fixture
def writing():
    return Writing()


async def problems(refused):
    with pytest.raises(InvalidDefinitionError) as raised:
        await refused
    return [(problem.path, problem.expected, problem.got) for problem in raised.value.problems]


class TestWalk:
    def test_paths(self):
        """
        Every filter of a flag and of a cohort is found, with the path that it has in its row.
        """
        assert [
            ("$.filters.groups[1].properties[1].value", 3),
            ("$.filters.groups[1].properties[2].value", 4),
        ] == list(named_cohorts(flag_tests(flag(3, 4))))
        assert [
            ("$.filters.properties.values[0].value", 3),
            ("$.filters.properties.values[1].values[0].value", 4),
        ] == list(named_cohorts(cohort_tests(cohort(3, 4))))

    @pytest.mark.parametrize(
        "row",
        [
            {},
            {"filters": None},
            {"filters": {"groups": 1, "properties": []}},
            {"filters": {"groups": [None, {"properties": {}}], "properties": {"values": "x"}}},
        ],
    )
    def test_odd_rows(self, row):
        """
        What is no filter is passed over.
        """
        assert [] == [*flag_tests(row), *cohort_tests(row)]


class TestCohorts:
    async def test_unknown(self, writing):
        """
        A cohort that names one that is not there, or that is deleted, is refused by its path.
        """
        await writing.cohorts(cohort(deleted=True))

        assert [
            ("$.filters.properties.values[0].value", "the id of a cohort", 9),
            ("$.filters.properties.values[1].values[0].value", "the id of a cohort", 1),
        ] == await problems(writing.cohorts(cohort(9, 1)))

    async def test_itself(self, writing):
        """
        A cohort cannot name itself, not even when it is made.
        """
        expected = [
            ("$.filters.properties.values[0].value", "a cohort that does not refer to this one", 5)
        ]

        assert expected == await problems(writing.cohorts(cohort(5, id=5)))

    async def test_through_others(self, writing):
        """
        Nor can it name one that leads back to it; the path is that of this very name.
        """
        await writing.cohorts(cohort(), cohort(1), cohort(2), cohort())

        path = "$.filters.properties.values[1].values[0].value"
        assert [(path, "a cohort that does not refer to this one", 3)] == await problems(
            writing.update(1, filters=cohort(4, 3)["filters"])
        )

    async def test_restored(self, writing):
        """
        A deleted cohort names what it likes, until it is restored.
        """
        await writing.cohorts(cohort(9, deleted=True))

        assert await problems(writing.update(1, deleted=False))

    @given(
        changes=st.lists(
            st.tuples(st.integers(1, 4), st.sets(st.integers(1, 4), max_size=2), st.integers(0, 3)),
            max_size=12,
        )
    )
    def test_never_a_cycle(self, changes):
        """
        Whatever is asked for, cohorts that are there name cohorts that are there, in no cycle.
        """
        asyncio.run(self.change(Writing(), changes))

    async def change(self, writing, changes):
        await writing.cohorts(*[cohort() for _ in range(4)])
        for cohort_id, named, deletes in changes:
            before = writing.catalog.project(PROJECT.id).cohort_rows
            body = {"filters": cohort(*named)["filters"], "deleted": deletes == 0}
            refused = False
            try:
                await writing.update(cohort_id, **body)
            except (InvalidDefinitionError, ConflictError):
                refused = True

            assert refused is not self.is_sound({**before, cohort_id: body})

    def is_sound(self, rows):
        graph = {
            number: {named for _, named in named_cohorts(cohort_tests(row))}
            for number, row in rows.items()
            if not row["deleted"]
        }
        try:
            TopologicalSorter(graph).prepare()
        except CycleError:
            return False
        return all(named <= graph.keys() for named in graph.values())


class TestDeletion:
    async def deletion(self, writing, cohort_id):
        with pytest.raises(ConflictError) as refused:
            await writing.update(cohort_id, deleted=True)
        return refused.value

    async def test_used(self, writing):
        """
        A cohort stays while active flags or other cohorts use it, and the refusal names them.
        """
        await writing.cohorts(cohort(), cohort(1, name="Both"))
        await writing.flag(flag(1))

        error = await self.deletion(writing, 1)

        assert "The cohort is used by flag f, cohort 2 (Both)." == error.detail
        assert (409, "in_use", "deleted") == (error.status, error.code, error.attr)

    async def test_used_by_many(self, writing):
        """
        The refusal has a readable length.
        """
        await writing.cohorts(cohort())
        for number in range(12):
            await writing.flag(flag(1, key=f"f{number}"))

        error = await self.deletion(writing, 1)

        assert error.detail.endswith(", flag f8, flag f9, 2 more.")

    @pytest.mark.parametrize("body", [{"active": False}, {"deleted": True}, {"filters": {}}])
    async def test_not_in_use(self, writing, body):
        """
        Flags that are off, deleted, or look at other cohorts keep none from being deleted.
        """
        await writing.cohorts(cohort(), cohort())
        if "filters" in body:
            body = {"filters": flag(2)["filters"]}
        await writing.flag(flag(1))
        await writing.update_flag(1, **body)

        assert (await writing.update(1, deleted=True))["deleted"]

    async def test_deleted_cohorts_use_nothing(self, writing):
        """
        Cohorts can be deleted one after the other, from the top.
        """
        await writing.cohorts(cohort(), cohort(1))

        assert (await writing.update(2, deleted=True))["deleted"]
        assert (await writing.update(1, deleted=True))["deleted"]


class TestFlags:
    @pytest.fixture
    async def deleted(self, writing):
        await writing.cohorts(cohort(), cohort(deleted=True))

    async def test_created(self, writing, deleted):
        """
        An active flag that names a cohort that is not there is refused by its path.
        """
        assert [
            ("$.filters.groups[1].properties[2].value", "the id of a cohort", 2),
            ("$.filters.groups[1].properties[3].value", "the id of a cohort", 3),
        ] == await problems(writing.flag(flag(1, 2, 3)))
        assert (await writing.flag(flag(1)))["active"]

    async def test_changed(self, writing, deleted):
        """
        A flag that is off may name any; it cannot be switched on, but be mended.
        """
        await writing.flag(flag(2, active=False))
        expected = [("$.filters.groups[1].properties[1].value", "the id of a cohort", 2)]

        assert expected == await problems(writing.update_flag(1, active=True))
        assert (await writing.update_flag(1, active=True, filters=flag(1)["filters"]))["active"]

    async def test_deleted(self, writing, deleted):
        """
        A flag can be deleted whatever it names.
        """
        await writing.flag(flag(2, active=False))

        assert (await writing.update_flag(1, active=True, deleted=True))["deleted"]
