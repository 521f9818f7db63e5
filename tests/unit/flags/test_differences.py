"""Which flags may answer otherwise since definitions changed."""

import pytest

from flagstream.flags import Definitions, Difference, compile_project, differences, parse_project

ADDED, CHANGED, REMOVED = Difference
CONDITION = {"properties": [], "rollout_percentage": 100}


def flag(key, flag_id=1, test=None, **members):
    condition = {**CONDITION, "properties": [] if test is None else [test]}
    return {
        "id": flag_id,
        "key": key,
        "name": "",
        "active": True,
        "deleted": False,
        "version": 1,
        "filters": {"groups": [condition]},
        **members,
    }


def cohort(cohort_id, *tests, **members):
    properties = {"type": "AND", "values": list(tests)}
    return {"id": cohort_id, "deleted": False, "filters": {"properties": properties}, **members}


def in_cohort(cohort_id):
    return {"key": "id", "type": "cohort", "value": cohort_id, "operator": "in"}


def needs(flag_id):
    return {"key": str(flag_id), "type": "flag", "operator": "flag_evaluates_to", "value": True}


PLAN = {"key": "plan", "type": "person", "value": "pro", "operator": "exact"}
ON = flag("on")
ROWS = [
    ON,
    flag("dependent", 2, needs(1)),
    flag("distant", 3, needs(2)),
    flag("of-cohort", 4, in_cohort(1)),
    flag("of-other", 5, in_cohort(3)),
    flag("alone", 6, PLAN),
]
COHORTS = [cohort(1, in_cohort(2)), cohort(2, PLAN), cohort(3, PLAN)]


def compiled(rows, cohorts=(), before=None, **project):
    definitions = Definitions(
        flags={row["key"]: row for row in rows},
        cohorts={row["id"]: row for row in cohorts},
        **project,
    )
    known = None if before is None else before.parsed
    return compile_project(parse_project(definitions, known), before)


def after(changed=(), cohorts=(), rows=ROWS, **project):
    """Change some definitions of a project, and tell what differs."""
    before = compiled(ROWS, COHORTS)
    by_key = {row["key"]: row for row in [*rows, *changed]}
    by_id = {row["id"]: row for row in [*COHORTS, *cohorts]}
    return differences(before, compiled(by_key.values(), by_id.values(), before, **project))


class TestDifferences:
    def test_nothing(self):
        """
        Where no definition changed, no flag did.
        """
        assert {} == after()

    @pytest.mark.parametrize(
        "members",
        [{"name": "described"}, {"tags": ["team"]}, {"version": 2}, {"archived": False}],
    )
    def test_for_people(self, members):
        """
        What only people read changes no flag.
        """
        assert {} == after([{**ON, **members}])

    def test_added_and_removed(self):
        """
        A flag that is made, or not active any more, is named as such.
        """
        rows = [row for row in ROWS if row["key"] != "alone"]
        rows.append(flag("of-cohort", 4, in_cohort(1), active=False))

        assert {"new": ADDED, "alone": REMOVED, "of-cohort": REMOVED} == after(
            [flag("new", 7)], rows=rows
        )

    def test_own_definition(self):
        """
        A flag with another definition changed, and so did those that depend on it.
        """
        changed = {"on": CHANGED, "dependent": CHANGED, "distant": CHANGED}

        assert changed == after([flag("on", 1, PLAN)])
        assert {"alone": CHANGED} == after([flag("alone", 6, PLAN, bucketing="murmur3")])

    def test_cohorts(self):
        """
        Flags changed whose cohort did, or one that it names; not those of other cohorts.
        """
        other = {**PLAN, "value": "free"}

        assert {"of-cohort": CHANGED} == after(cohorts=[cohort(2, other)])
        assert {"of-cohort": CHANGED} == after(cohorts=[cohort(1, other)])
        assert {"of-other": CHANGED} == after(cohorts=[cohort(3, other)])
        assert {} == after(cohorts=[cohort(3, PLAN, name="Everybody")])
        assert {} == after(cohorts=[cohort(4, PLAN)])

    def test_unreadable(self):
        """
        A flag that cannot be read any more goes on as it was, and one that never could is there.
        """
        assert {} == after([{**ON, "filters": {"groups": 5}}])
        assert {"bad": ADDED} == after([{**flag("bad", 7), "filters": {"groups": 5}}])

    def test_matching(self):
        """
        A project that matches otherwise changes all flags.
        """
        assert {row["key"] for row in ROWS} == after(timezone="Asia/Tokyo").keys()
