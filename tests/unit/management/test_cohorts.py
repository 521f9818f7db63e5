"""Cohorts are created, changed and given members."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstream.errors import (
    ConflictError,
    InvalidDefinitionError,
    InvalidRequestError,
    NotFoundError,
)
from flagstream.flags.parse import parse_cohort
from flagstream.management import changed_cohort_row, new_cohort_row
from tests.fakes.views import EDITOR, PROJECT

GOLD = {"key": "plan", "type": "person", "operator": "exact", "value": ["gold"]}


def properties(*values, **members):
    return {"properties": {"type": "OR", "values": list(values), **members}}


def new(**body):
    return new_cohort_row(
        {"name": "Gold", "filters": properties(GOLD), **body}, cohort_rows={}, now_ms=0
    )


class TestCreate:
    async def test_row(self, management, catalog):
        """
        A new cohort has an id, the first version and defaults, and is stored as it is answered.
        """
        row = await management.create_cohort(EDITOR, {"name": "Gold", "filters": properties(GOLD)})

        assert {
            "id": 1,
            "name": "Gold",
            "description": "",
            "filters": properties(GOLD),
            "group_type_index": None,
            "is_static": False,
            "members": [],
            "deleted": False,
            "version": 1,
            "created_at": "2025-11-24T16:00:00Z",
            "updated_at": "2025-11-24T16:00:00Z",
        } == row
        assert {1: row} == catalog.project(PROJECT.id).cohort_rows

    @pytest.mark.parametrize(
        ("asked", "given_ids"),
        [
            ([None, None], [1, 2]),
            ([98, None], [98, 99]),
            ([98, 98], [98, 99]),
            ([10**9, None], [10**9, 1]),
        ],
    )
    async def test_ids(self, management, asked, given_ids):
        """
        An id that is named is kept where it is free; else the next one is given.
        """
        bodies = [{"id": each} if each else {} for each in asked]
        rows = [await management.create_cohort(EDITOR, new_body(**body)) for body in bodies]

        assert given_ids == [row["id"] for row in rows]

    async def test_id_of_a_deleted_cohort(self, management, catalog):
        """
        The id of a deleted cohort is never given anew, unless it is named.
        """
        for body in [{"id": 7, "deleted": True}, {}, {"id": 7, "name": "Again"}]:
            await management.create_cohort(EDITOR, new_body(**body))

        rows = catalog.project(PROJECT.id).cohort_rows
        assert {7: "Again", 8: "Gold"} == {number: row["name"] for number, row in rows.items()}

    def test_what_posthog_answers(self):
        """
        What PostHog answers besides is no definition, and so ignored.
        """
        row = new(groups=[{}], count=3, is_calculating=True, created_by={}, cohort_type="static")

        assert new() == row

    @pytest.mark.parametrize(
        ("leaf", "stored"),
        [
            ({**GOLD, "bytecode": ["_H", 1], "conditionHash": "x"}, GOLD),
            ({**GOLD, "operator": "min", "value": 3}, {**GOLD, "operator": "gte", "value": 3}),
            (
                {"key": "id", "type": "cohort", "value": 3, "negation": True},
                {"key": "id", "type": "cohort", "value": 3, "negation": True, "operator": "in"},
            ),
            ({"type": "property", "values": [GOLD]}, {"type": "AND", "values": [GOLD]}),
        ],
    )
    def test_filters_are_canonical(self, leaf, stored):
        """
        Filters are stored as the engine reads them, with the members that are set and no other.
        """
        assert properties(stored) == new(filters=properties(leaf))["filters"]

    def test_members_are_distinct(self):
        """
        Nobody is twice in a static cohort, and the order is that of the list.
        """
        row = new(is_static=True, filters=None, members=["b", "a", "b", "c", "a"])

        assert (["b", "a", "c"], {}) == (row["members"], row["filters"])

    def test_all_problems_at_once(self):
        """
        Every problem has its JSON path, whoever found it.
        """
        leaf = {**GOLD, "operator": "sounds_like"}
        body = {
            "colour": "red",
            "name": 5,
            "id": "7",
            "is_static": 1,
            "filters": properties(GOLD, leaf),
        }

        with pytest.raises(InvalidDefinitionError) as refused:
            new(**body)

        assert {
            "$.colour",
            "$.name",
            "$.id",
            "$.is_static",
            "$.filters.properties.values[1].operator",
        } == {problem.path for problem in refused.value.problems}

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({"name": None}, "$.name"),
            ({"name": ""}, "$.name"),
            ({"name": "x" * 401}, "$.name"),
            ({"id": 0}, "$.id"),
            ({"id": True}, "$.id"),
            ({"id": 10**9 + 1}, "$.id"),
            ({"description": 1}, "$.description"),
            ({"deleted": None}, "$.deleted"),
            ({"filters": None}, "$.filters.properties"),
            ({"filters": {"rules": {}}}, "$.filters.properties"),
            ({"filters": []}, "$.filters"),
            ({"members": ["a"]}, "$.members"),
            ({"is_static": True, "members": ["a", 1]}, "$.members[1]"),
            ({"group_type_index": 5, "is_static": True, "filters": {}}, "$.group_type_index"),
            ({"group_type_index": 0}, "$.filters.properties.values[0].type"),
        ],
    )
    def test_refusals(self, body, path):
        """
        What is wrong is refused by its JSON path.
        """
        with pytest.raises(InvalidDefinitionError) as refused:
            new(**body)

        assert [path] == [problem.path for problem in refused.value.problems]

    async def test_at_most_a_thousand(self, management, catalog):
        """
        A project has a bounded number of cohorts; a deleted one makes room only for its own id.
        """
        for number in range(1, 1001):
            catalog.write(PROJECT.id, "cohort", str(number), new(id=number, deleted=number == 7))

        with pytest.raises(InvalidRequestError, match="at most 1000 cohorts"):
            await management.create_cohort(EDITOR, new_body())
        assert 7 == (await management.create_cohort(EDITOR, new_body(id=7)))["id"]

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (
                {"is_static": True, "members": [f"user-{n}" for n in range(50_000)]},
                "The static cohort has too many members. A definition has at most 524288 bytes.",
            ),
            (
                {"filters": properties({**GOLD, "value": "x" * 524_288})},
                "A definition has at most 524288 bytes.",
            ),
        ],
    )
    async def test_too_large(self, management, log, body, said):
        """
        A definition that is too large is refused, and that of a static cohort for its members.
        """
        with pytest.raises(InvalidRequestError) as refused:
            await management.create_cohort(EDITOR, new_body(**body))

        assert said == refused.value.detail
        assert [] == log.appended

    @given(
        body=st.dictionaries(
            st.sampled_from(["id", "name", "filters", "is_static", "members", "deleted", "x"]),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
                lambda inner: (
                    st.lists(inner)
                    | st.dictionaries(
                        st.sampled_from(["properties", "type", "values", "key", "value"]), inner
                    )
                ),
                max_leaves=10,
            ),
        )
    )
    def test_a_row_or_a_refusal(self, body):
        """
        Whatever is sent becomes a row that the engine reads and that stays as it is, or is refused.
        """
        try:
            row = new(**body)
        except InvalidRequestError:
            return

        parse_cohort(row)
        again = changed_cohort_row(row, row, now_ms=0)
        assert row == {**again, "version": 1}


def new_body(**body):
    return {"name": "Gold", "filters": properties(GOLD), **body}


class TestUpdate:
    @pytest.fixture
    async def gold(self, management):
        return await management.create_cohort(EDITOR, new_body())

    async def update(self, management, **body):
        return await management.update_cohort(EDITOR, 1, body)

    async def test_members(self, management, gold):
        """
        Only what is named changes, and the version counts the writes.
        """
        changed = await self.update(management, name="Golden", description="Who pays")

        assert {**gold, "name": "Golden", "description": "Who pays", "version": 2} == changed

    async def test_filters(self, management, gold):
        """
        Filters are replaced as a whole.
        """
        changed = await self.update(management, filters={"properties": {"type": "AND"}})

        assert {"properties": {"type": "AND"}} == changed["filters"]

    async def test_answer_can_be_sent_back(self, management, gold):
        """
        What was read can be written as it is.
        """
        assert {**gold, "version": 2} == await self.update(management, **gold)

    async def test_version_locks(self, management, gold):
        """
        A write on top of an old version is refused.
        """
        await self.update(management, version=1, name="First")

        with pytest.raises(ConflictError, match="it has version 2"):
            await self.update(management, version=1, name="Second")

    async def test_id_stays(self, management, gold):
        """
        A cohort keeps its id for life.
        """
        with pytest.raises(InvalidRequestError) as refused:
            await self.update(management, id=2)

        assert ("immutable", "id") == (refused.value.code, refused.value.attr)

    async def test_no_static_cohort_any_more(self, management, gold):
        """
        A static cohort becomes another one only without its members.
        """
        await self.update(management, is_static=True, members=["a"])

        with pytest.raises(InvalidDefinitionError, match=r"\$\.members"):
            await self.update(management, is_static=False)
        assert [] == (await self.update(management, is_static=False, members=[]))["members"]

    async def test_deleted_and_restored(self, management, gold):
        """
        A deleted cohort can still be changed, and be restored.
        """
        states = [
            (await self.update(management, **body))["deleted"]
            for body in ({"deleted": True}, {"name": "Old"}, {"deleted": False})
        ]

        assert [True, True, False] == states

    async def test_unknown(self, management):
        """
        What is not there cannot be changed.
        """
        with pytest.raises(NotFoundError):
            await self.update(management, name="x")


class TestMembers:
    @pytest.fixture
    async def cohort(self, management):
        body = {"name": "Early", "is_static": True, "members": ["b", "a"]}
        return await management.create_cohort(EDITOR, body)

    async def test_added(self, management, cohort):
        """
        Who is added comes behind, once.
        """
        row = await management.add_members(EDITOR, cohort["id"], ["c", "a", "c", "d"])

        assert (["b", "a", "c", "d"], 2) == (row["members"], row["version"])

    async def test_removed(self, management, cohort):
        """
        Who is taken out leaves the others in their order.
        """
        row = await management.remove_members(EDITOR, cohort["id"], ["b", "unknown"])

        assert (["a"], 2) == (row["members"], row["version"])

    @pytest.mark.parametrize(
        ("change", "members"), [("add_members", ["a", "b"]), ("remove_members", ["unknown"])]
    )
    async def test_nothing_changes(self, management, cohort, log, change, members):
        """
        Where nothing changes nothing is written.
        """
        row = await getattr(management, change)(EDITOR, cohort["id"], members)

        assert cohort == row
        assert 1 == len(log.definitions)

    @pytest.mark.parametrize("change", ["add_members", "remove_members"])
    async def test_not_static(self, management, change):
        """
        Only a static cohort has members.
        """
        cohort = await management.create_cohort(EDITOR, new_body())

        with pytest.raises(InvalidRequestError) as refused:
            await getattr(management, change)(EDITOR, cohort["id"], [])

        assert ("not_static", "members") == (refused.value.code, refused.value.attr)

    async def test_too_many(self, management, cohort, catalog):
        """
        Members that do not fit are refused, those that are there stay.
        """
        members = [f"user-{number}" for number in range(50_000)]

        with pytest.raises(InvalidRequestError, match="too many members"):
            await management.add_members(EDITOR, cohort["id"], members)

        assert cohort == catalog.project(PROJECT.id).cohort_rows[cohort["id"]]
