"""What a change would do: counted as the evaluator answers, before and after."""

from itertools import count

import msgspec
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from flagstream.census import LISTS, PageOf, PreviewTask, change_of
from flagstream.census.preview import Refused
from flagstream.census.preview_process import previewed
from flagstream.flags import CompiledFlags, Definitions, EvaluationContext, parse_flag
from flagstream.state.groups import GroupUpdate
from flagstream.state.merge import REDUCERS
from flagstream.state.persons import PersonUpdate
from flagstream.topics import Table, record_key
from flagstream.views import ViewStore
from tests.fakes.definitions import GROUP_PROJECTS, GROUP_TYPES
from tests.projects import project_of, with_flags

PLANS = {"acme": "gold", "globex": "gold", "initech": "free", "umbrella": None}


def filters(value="gold", index=0, kind="group", **members):
    tests = [{"key": "plan", "type": kind, "value": value}]
    return {"aggregation_group_type_index": index, "groups": [{"properties": tests}], **members}


def task(definitions, row, **members):
    """Make a task as it comes to the process."""
    change = change_of(project_of(definitions).parsed, parse_flag(row))
    given = {"timeout_s": 30, "limit": 100, "now_ms": 0, "project_id": 1, **members}
    encoded = msgspec.json.encode(PreviewTask(change=change, **given))
    return msgspec.json.decode(encoded, type=PreviewTask)


def sound_task(definitions, row):
    """Make a task of what could have been taken in: no definition there has a lone surrogate."""
    try:
        return task(definitions, row)
    except UnicodeEncodeError:
        reject()


def definitions(*rows, **members):
    flags = {row["key"]: row for row in rows}
    return Definitions(flags=flags, group_types=GROUP_TYPES, **members)


def write(store, table, **updates):
    fold = REDUCERS[table].fold
    head = {Table.GROUPS: b"g", Table.PERSONS: b"p"}[table]
    types = {Table.GROUPS: ("organization",), Table.PERSONS: ()}[table]
    store.write(
        {
            head + record_key(1, *types, name): fold(None, update.to_bytes(), 1)
            for name, update in updates.items()
        },
        {},
    )


@pytest.fixture
def organizations(store):
    """Organizations on some plans, one on none."""
    updates = {
        name: GroupUpdate(time_ms=1, set={} if plan is None else {"plan": plan})
        for name, plan in PLANS.items()
    }
    write(store, Table.GROUPS, **updates)


def names(listed):
    return [each.name for each in listed.results]


class TestLaw:
    @settings(deadline=None, max_examples=30)  # every example opens RocksDB
    @given(
        before=GROUP_PROJECTS,
        after=GROUP_PROJECTS,
        plans=st.lists(st.sampled_from([None, "gold", "Free", True, 10, "1.2.3"]), max_size=6),
        data=st.data(),
    )
    def test_as_evaluated_before_and_after(self, tmp_path_factory, before, after, plans, data):
        """
        Whatever a flag becomes, who is on now and who then are those for whom it is evaluated so.
        """
        key = data.draw(st.sampled_from(sorted(before.flags.keys() & after.flags.keys())))
        row = after.flags[key]
        asked = sound_task(before, row)
        changed = with_flags(before, {**before.flags, key: row})
        groups = {
            f"org:{at}": {} if plan is None else {"plan": plan} for at, plan in enumerate(plans)
        }
        store = ViewStore(tmp_path_factory.mktemp("views"))
        updates = {name: GroupUpdate(time_ms=1, set=each) for name, each in groups.items()}
        write(store, Table.GROUPS, **updates)

        found = previewed(store, asked)

        store.close()
        if isinstance(found, Refused):
            return
        expected = {name: set() for name in LISTS}
        for name, properties in groups.items():
            was, then = (value(each, key, name, properties) for each in (before, changed))
            if then and not was:
                expected["join"].add(name)
            if was and not then:
                expected["leave"].add(name)
            if was and then:
                expected["stay"].add(name)
            if was and then and was != then:
                expected["move"].add(name)
        if found.group_type is not None:
            assert expected == {name: set(names(getattr(found, name))) for name in LISTS}
            assert len(groups) == found.examined


def value(definitions, key, name, properties):
    """Evaluate a flag for one organization; False where it is not evaluated."""
    flags = CompiledFlags.of(project_of(definitions))
    context = EvaluationContext(
        distinct_id="",
        groups={"organization": name},
        group_properties={"organization": {**properties, "$group_key": name}},
    )
    return next((each.value for each in flags.answers(context, [key])), False)


class TestGroups:
    def test_who_joins_and_who_leaves(self, store, organizations):
        """
        A changed plan lets some in and others out; everybody is counted.
        """
        now = {"key": "new", "filters": filters(["gold"])}
        then = {"key": "new", "filters": filters(["gold", "free"], groups=[])}
        then["filters"]["groups"] = filters(["free"])["groups"]

        found = previewed(store, task(definitions(now), then))

        assert (4, True, "organization") == (found.examined, found.is_complete, found.group_type)
        assert [(2, 2), (1, 3)] == [(each.on, each.off) for each in (found.now, found.then)]
        assert [["initech"], ["acme", "globex"], [], []] == [
            names(getattr(found, name)) for name in LISTS
        ]

    def test_by_their_keys(self, store, organizations):
        """
        Groups are told apart by their keys as well, which are no properties.
        """
        tests = [{"key": "$group_key", "type": "group", "value": "initech"}]
        then = {"key": "new", "filters": filters(groups=[{"properties": tests}])}

        found = previewed(store, task(definitions(), then))

        assert ["initech"] == names(found.join)

    def test_variants(self, store, organizations):
        """
        Each variant is counted, and who changes it.
        """

        def variants(a, b):
            shares = [{"key": "a", "rollout_percentage": a}, {"key": "b", "rollout_percentage": b}]
            return {"multivariate": {"variants": shares}}

        now = {"key": "new", "filters": filters(**variants(100, 0))}
        then = {"key": "new", "filters": filters(**variants(0, 100))}

        found = previewed(store, task(definitions(now), then))

        assert ({"a": 2}, {"b": 2}) == (found.now.variants, found.then.variants)
        assert (["acme", "globex"],) * 2 == (names(found.stay), names(found.move))
        assert ("a", "b") == (found.move.results[0].now, found.move.results[0].then)

    @pytest.mark.parametrize(
        ("now", "then", "join", "leave"),
        [
            (None, {}, 2, 0),
            ({"active": False}, {"active": True}, 2, 0),
            ({}, {"active": False}, 0, 2),
            ({}, {"deleted": True}, 0, 2),
            ({"deleted": True}, {}, 2, 0),
        ],
    )
    def test_flags_that_are_not_there(self, store, organizations, now, then, join, leave):
        """
        A flag that is new, off or deleted is on for nobody.
        """
        rows = [] if now is None else [{"key": "new", "filters": filters(), **now}]
        row = {"key": "new", "filters": filters(), **then}

        found = previewed(store, task(definitions(*rows), row))

        assert (join, leave) == (found.join.count, found.leave.count)

    def test_what_it_depends_on(self, store, organizations):
        """
        Cohorts and other flags come along, whichever way they are named.
        """
        cohort = {
            "id": 5,
            "is_static": True,
            "members": ["acme", "initech"],
            "group_type_index": 0,
        }
        gold = {"key": "gold", "id": 7, "filters": filters()}
        tests = [
            {"key": "id", "type": "cohort", "value": 5},
            {"key": "7", "type": "flag", "operator": "flag_evaluates_to", "value": True},
        ]
        row = {"key": "new", "filters": {**filters(), "groups": [{"properties": tests}]}}

        found = previewed(store, task(definitions(gold, cohorts={5: cohort}), row))

        assert ["acme"] == names(found.join)

    def test_pages(self, store, organizations):
        """
        A long list is read on behind its last name; nobody is named twice.
        """
        row = {"key": "new", "filters": filters(["gold", "free"])}

        first = previewed(store, task(definitions(), row, limit=2)).join
        page = previewed(
            store,
            task(definitions(), row, limit=2, page=PageOf(list="join", after=first.next_after)),
        )

        assert (3, ["acme", "globex"]) == (first.count, names(first))
        assert ("organization", "join", None) == (page.group_type, page.list, page.next_after)
        assert ["initech"] == names(page)

    def test_when_time_is_up(self, store, write_groups):
        """
        What was counted until then is answered, and that it is not all.
        """
        write_groups("organization", 1_200, plan="gold")
        row, calls = {"key": "new", "filters": filters()}, count()

        found = previewed(store, task(definitions(), row), lambda: next(calls) < 1)
        page = previewed(
            store,
            task(definitions(), row, limit=1_000, timeout_s=0, page=PageOf(list="leave")),
        )

        assert (1_000, False) == (found.examined, found.is_complete)
        assert ([], "000499") == (page.results, page.next_after)


class TestPersons:
    def test_flags_of_persons(self, store):
        """
        A flag of persons is previewed over persons, each once.
        """
        write(
            store,
            Table.PERSONS,
            anna=PersonUpdate(time_ms=1, set={"plan": "gold"}),
            bert=PersonUpdate(time_ms=1, set={"plan": "free"}),
            old=PersonUpdate(time_ms=1, into="anna"),
        )
        row = {"key": "new", "filters": filters(index=None, kind="person")}

        found = previewed(store, task(definitions(), row))
        page = previewed(store, task(definitions(), row, page=PageOf(list="join")))

        assert (None, 2, ["anna"]) == (found.group_type, found.examined, names(found.join))
        assert ["anna"] == names(page)


class TestRefusals:
    @pytest.mark.parametrize(
        ("now", "then"),
        [
            (filters(), filters(index=1)),
            (filters(), filters(index=None, kind="person")),
            ({"groups": []}, filters(kind="person")),
        ],
    )
    def test_about_others(self, store, now, then):
        """
        What follows from several groups, or groups and persons, has nobody that could be counted.
        """
        row = {"key": "new", "filters": then}

        found = previewed(store, task(definitions({"key": "new", "filters": now}), row))

        assert isinstance(found, Refused)
