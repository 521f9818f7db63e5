"""Definitions compared with what a server has."""

import pytest

from flagstream.cli.changes import changes, defining, defining_cohort, exported
from flagstream.cli.definitions import Definition
from flagstream.management import changed_cohort_row, changed_row, new_cohort_row, new_row
from flagstream.state.definitions import Kind

FILTERS = {"groups": [{"properties": [], "rollout_percentage": 50}]}
GOLD = {"key": "plan", "type": "person", "operator": "exact", "value": ["gold"]}


def stored(flag_id=7, **body):
    body = {"key": "new", "filters": FILTERS, **body}
    return new_row(body, flag_id=flag_id, bucketing="sha1", now_ms=0)


def stored_cohort(**body):
    body = {"id": 5, "name": "Gold", "filters": properties(GOLD), **body}
    return new_cohort_row(body, cohort_rows={}, now_ms=0)


def properties(*values):
    return {"properties": {"type": "OR", "values": list(values)}}


def naming(*cohort_ids):
    """Filters of a cohort that names others."""
    return properties(*({"key": "id", "type": "cohort", "value": each} for each in cohort_ids))


def depending(key):
    """Filters of a flag that depends on another."""
    test = {"key": key, "type": "flag", "operator": "flag_evaluates_to", "value": True}
    return {"groups": [{"properties": [test]}]}


def flag_definition(**body):
    return Definition(kind=Kind.FLAG, place="f.json: $", body={"key": "new", **body})


def cohort_definition(**body):
    return Definition(kind=Kind.COHORT, place="f.json: $", body={"id": 5, "name": "Gold", **body})


def differing(change):
    return [line for line in change.diff().splitlines()[2:] if line[0] in "+-"]


class TestFlags:
    def changes(self, row, **body):
        return list(changes([row] if row else [], [], [flag_definition(**body)]))

    def test_new(self):
        """
        A flag that the server lacks is added as it is defined.
        """
        (change,) = self.changes(None, filters=FILTERS)

        assert (Kind.FLAG, None) == (change.kind, change.id)
        assert {"key": "new", "filters": FILTERS} == change.body
        assert '+  "key": "new"' in change.diff()

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"filters": FILTERS},
            {"filters": {**FILTERS, "payloads": None}},
            {"rollout_percentage": 50},
            {"active": True, "deleted": False, "archived": False},
        ],
    )
    def test_same(self, body):
        """
        A definition that says what is so already changes nothing.
        """
        assert [] == self.changes(stored(), **body)

    def test_own_answers(self):
        """
        What the API answers can be kept as it is.
        """
        answer = {**stored(), "status": "ACTIVE", "created_by": None}

        assert [] == self.changes({**stored(), "version": 9}, **answer)

    def test_payloads(self):
        """
        A payload is the same whether a file spells it as JSON or as JSON in a text.
        """
        row = stored(filters={**FILTERS, "payloads": {"true": '{"a":1}'}})

        assert [] == self.changes(row, filters={**FILTERS, "payloads": {"true": {"a": 1}}})

    def test_changed(self):
        """
        A change names the version it is based on, and its diff the lines that differ.
        """
        wider = {"groups": [{"properties": [], "rollout_percentage": 60}]}

        (change,) = self.changes(stored(), filters=wider)

        assert (7, 1) == (change.id, change.body["version"])
        assert [
            '-        "rollout_percentage": 50',
            '+        "rollout_percentage": 60',
        ] == differing(change)

    def test_archived(self):
        """
        A flag is archived like any other change.
        """
        (change,) = self.changes(stored(), archived=True, active=False)

        assert ['-  "active": true,', '+  "active": false,', '+  "archived": true,'] == differing(
            change
        )

    def test_taken_away(self):
        """
        What a definition's filters no longer hold is taken away from the server's.
        """
        row = stored(filters={**FILTERS, "payloads": {"true": "1"}})

        (change,) = self.changes(row, filters=FILTERS)

        after = changed_row(row, change.body, now_ms=0)
        assert defining(stored()) == defining(after) == change.after
        assert "payloads" not in change.after["filters"]

    def test_deleted(self):
        """
        A flag is deleted once.
        """
        (change,) = self.changes(stored(), deleted=True)

        assert change.after["deleted"]
        assert [] == self.changes(None, deleted=True)

    @pytest.mark.parametrize("named", ["3", "other"])
    @pytest.mark.parametrize("known", ["3", "other"])
    def test_names_of_flags(self, named, known):
        """
        Whether a flag is named by the id that it has on the server, or by its key, is the same.
        """
        rows = [stored(3, key="other"), stored(filters=depending(known))]

        assert [] == list(changes(rows, [], [flag_definition(filters=depending(named))]))


class TestCohorts:
    def changes(self, row, **body):
        return list(changes([], [row] if row else [], [cohort_definition(**body)]))

    def test_new(self):
        """
        A cohort that the server lacks is added with its id.
        """
        (change,) = self.changes(None, filters=properties(GOLD))

        assert (Kind.COHORT, None) == (change.kind, change.id)
        assert {"id": 5, "name": "Gold", "filters": properties(GOLD)} == change.body
        assert "--- cohort 5 now\n+++ cohort 5 then\n" in change.diff()

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"filters": properties(GOLD)},
            {"filters": properties({**GOLD, "bytecode": []})},
            {"count": 3, "deleted": False, "is_static": False, "members": []},
        ],
    )
    def test_same(self, body):
        """
        A definition that says what is so already changes nothing.
        """
        assert [] == self.changes(stored_cohort(), **body)

    def test_changed(self):
        """
        A change names the version it is based on, and its diff the lines that differ.
        """
        (change,) = self.changes(stored_cohort(), name="Golden")

        assert (5, 1) == (change.id, change.body["version"])
        assert ['-  "name": "Gold"', '+  "name": "Golden"'] == [
            line.rstrip(",") for line in differing(change)
        ]
        assert change.after == defining_cohort(
            changed_cohort_row(stored_cohort(), change.body, now_ms=0)
        )

    def test_members(self):
        """
        The members of a static cohort count as a whole, where they are named.
        """
        row = stored_cohort(is_static=True, members=["a", "b"])

        (change,) = self.changes(row, members=["b", "c"])

        assert ["b", "c"] == change.after["members"]
        assert [] == self.changes(row, description="")

    def test_deleted(self):
        """
        A cohort is deleted once.
        """
        (change,) = self.changes(stored_cohort(), deleted=True)

        assert change.after["deleted"]
        assert [] == self.changes(None, deleted=True)


class TestOrder:
    def test_cohorts_before_what_names_them(self):
        """
        Cohorts come before the cohorts and flags that name them.
        """
        definitions = [
            flag_definition(),
            cohort_definition(id=1, filters=naming(2, 9)),
            cohort_definition(id=2, filters=naming(3)),
            cohort_definition(id=3),
        ]

        found = [change.after for change in changes([], [], definitions)]

        assert [3, 2, 1, "new"] == [row.get("id") or row["key"] for row in found]

    def test_deleted_last(self):
        """
        Cohorts are deleted after what named them has changed, those that are named last.
        """
        rows = [
            stored_cohort(id=1, filters=naming(2)),
            stored_cohort(id=2, filters=naming(3)),
            stored_cohort(id=3),
        ]
        definitions = [
            cohort_definition(id=3, deleted=True),
            cohort_definition(id=2, deleted=True),
            cohort_definition(id=1, filters=naming()),
            flag_definition(active=False),
        ]

        found = [change.id for change in changes([stored()], rows, definitions)]

        assert [1, 7, 2, 3] == found

    def test_turned_around(self):
        """
        Of two cohorts that change places the one that names no other any more comes first.
        """
        rows = [stored_cohort(id=1, filters=naming(2)), stored_cohort(id=2)]
        definitions = [
            cohort_definition(id=2, filters=naming(1)),
            cohort_definition(id=1, filters=properties(GOLD)),
        ]

        assert [1, 2] == [change.id for change in changes([], rows, definitions)]


class TestExported:
    def test_flags_are_named_by_key(self):
        """
        Flags that filters name are named by key, those of digits alone as they are stored.
        """
        rows = [
            stored(1, key="a"),
            stored(2, key="42"),
            stored(3, key="b", filters=depending("1")),
            stored(4, key="c", filters=depending("2")),
        ]

        flags = exported(rows, [])["flags"]

        assert ["42", "a", "b", "c"] == [flag["key"] for flag in flags]
        assert [depending("a"), depending("2")] == [flag["filters"] for flag in flags[2:]]

    def test_cohorts(self):
        """
        Cohorts are exported with their ids, in the order of these, static ones with their members.
        """
        rows = [stored_cohort(), stored_cohort(id=2, is_static=True, filters={}, members=["a"])]

        assert [
            {
                "id": 2,
                "name": "Gold",
                "description": "",
                "filters": {},
                "is_static": True,
                "members": ["a"],
            },
            {
                "id": 5,
                "name": "Gold",
                "description": "",
                "filters": properties(GOLD),
                "is_static": False,
            },
        ] == exported([], rows)["cohorts"]
