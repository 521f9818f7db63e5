"""How it was: flags, cohorts and groups at another time."""

import pytest

from flagstream.ports import KeptChange
from flagstream.state.groups import GroupUpdate
from flagstream.state.kept import PropertyChange
from tests.fakes.views import PROJECT
from tests.fakes.world import NOW_MS

from .asking import ROOT, get, send
from .test_flags import flag_row

FLAGS = f"{ROOT}/feature_flags"
REASONS = f"{FLAGS}/evaluation_reasons/?distinct_id=anna&groups=%7B%22company%22%3A%22acme%22%7D"
DAY_MS = 86_400_000
PLAN = {"key": "plan", "value": "gold"}
ASKED = {"flag_key": "new", "distinct_id": "anna", "groups": {"company": "acme"}}


@pytest.fixture
async def changed(client, world):
    """
    A flag that was for the plan gold, and is for the plan free; a group that went the other way.
    """
    world.view.set_group("company", "acme", plan="gold")
    world.history.set_group("company", "acme", plan="free")
    filters = [
        flag_row("new", test={**PLAN, "value": plan})["filters"] for plan in ("gold", "free")
    ]
    body = {"key": "new", "filters": filters[0]}
    row = await send(client, "POST", f"{FLAGS}/", body, 201)
    await send(client, "PATCH", f"{FLAGS}/{row['id']}/", {"filters": filters[1]})
    # The fake clock stands still: the second change came today, the first a week ago.
    first = world.view.changes[PROJECT.id, "flag", "new"]
    first[0] = first[0]._replace(state=_at(first[0].state, NOW_MS - 7 * DAY_MS))


def _at(state, time_ms):
    return type(state)(version=state.version, time_ms=time_ms, author=state.author, body=state.body)


async def explained(client, status=200, **members):
    return await send(client, "POST", f"{ROOT}/flags/explain/", {**ASKED, **members}, status)


class TestExplain:
    async def test_definition_and_group(self, client, changed):
        """
        The flag is explained by its definition of then, for the group as it was then.
        """
        now, then = await explained(client), await explained(client, as_of="-1d")

        assert [("gold", ["free"], 2), ("free", ["gold"], 1)] == [
            (test["seen"], _list(test["value"]), each["version"])
            for each in (now, then)
            for test in each["conditions"][0]["filters"]
        ]
        assert now["as_of"] is None
        assert {
            "time": "2025-11-23T16:00:00Z",
            "present": ["person", "active_groups", "cohort_members"],
            "unknown": [],
        } == then["as_of"]

    async def test_what_is_not_known(self, client, world, changed):
        """
        A property that cannot be told is named, and the flag is not judged without it.
        """
        world.history.set_group("company", "acme", "plan")

        then = await explained(client, as_of="-1d")

        assert [{"group_type": "company", "group_key": "acme", "property": "plan"}] == then[
            "as_of"
        ]["unknown"]
        assert (False, True, "database_error") == (then["value"], then["failed"], then["reason"])
        assert "unknown" == then["conditions"][0]["filters"][0]["origin"]["source"]

    async def test_what_the_request_brings_goes_before(self, client, world, changed):
        """
        Properties of the request count as ever, also for what is not known.
        """
        world.history.set_group("company", "acme", "plan")

        then = await explained(client, as_of="-1d", group_properties={"company": {"plan": "gold"}})

        assert (True, []) == (then["value"], then["as_of"]["unknown"])

    async def test_before_there_was_a_flag(self, client, changed):
        """
        A flag that was not there yet is not there.
        """
        await explained(client, 404, as_of="-8d")

    async def test_a_definition_that_is_not_known(self, client, world, changed):
        """
        A definition whose beginning no history has is not made up.
        """
        del world.view.changes[PROJECT.id, "flag", "new"][0]

        answer = await explained(client, 400, as_of="-1d")

        assert "as_of" == answer["attr"]
        assert "since when the definition of flag new is known" in answer["detail"]

    async def test_dependencies_as_they_were(self, client, world, changed):
        """
        Cohorts and flags that the flag named then are taken as they were then.
        """
        plan = {"key": "plan", "type": "group", "value": "free"}
        group = {"properties": {"type": "AND", "values": [plan]}}
        cohort = await send(
            client,
            "POST",
            f"{ROOT}/cohorts/",
            {"name": "Free", "group_type_index": 0, "filters": group},
            201,
        )
        other = {"filters": flag_row("x", test={**PLAN, "value": "free"})["filters"]}
        other = await send(client, "POST", f"{FLAGS}/", {"key": "other", **other}, 201)
        tests = [
            {"key": "id", "type": "cohort", "value": cohort["id"]},
            {
                "key": str(other["id"]),
                "type": "flag",
                "operator": "flag_evaluates_to",
                "value": True,
            },
        ]
        filters = {"aggregation_group_type_index": 0, "groups": [{"properties": tests}]}
        await send(client, "POST", f"{FLAGS}/", {"key": "both", "filters": filters}, 201)
        await send(client, "PATCH", f"{FLAGS}/{other['id']}/", {"active": False})
        changes = world.view.changes
        for kind, name in [("flag", "both"), ("flag", "other"), ("cohort", str(cohort["id"]))]:
            first = changes[PROJECT.id, kind, name]
            first[0] = first[0]._replace(state=_at(first[0].state, NOW_MS - 7 * DAY_MS))

        now, then = [
            await explained(client, flag_key="both", **members)
            for members in ({}, {"as_of": "-1d"})
        ]

        assert [False, True] == [now["value"], then["value"]]
        assert [True, True] == [each["matched"] for each in then["conditions"][0]["filters"]]


def _list(value):
    return value if isinstance(value, list) else [value]


class TestReasons:
    async def test_all_flags(self, client, world, changed):
        """
        All flags are evaluated as they were, and those that were not there are left out.
        """
        world.history.set_group("company", "acme", plan="gold")

        now, then, before = [
            await get(client, REASONS + query) for query in ("", "&as_of=-1d", "&as_of=-8d")
        ]

        assert [False, True] == [each["new"]["value"] for each in (now, then)]
        assert {} == before

    async def test_what_is_not_known(self, client, world, changed):
        """
        A flag that may follow from what cannot be told is not judged.
        """
        world.history.set_group("company", "acme", "plan")

        then = await get(client, REASONS + "&as_of=-1d")

        assert ("database_error", "What was stored then is not known any more") == (
            then["new"]["evaluation"]["reason"],
            then["new"]["evaluation"]["description"],
        )


class TestTimes:
    @pytest.mark.parametrize(
        "as_of", ["-1d", "-30m", "-12h", "-1w", "2025-11-24", "2025-11-24T10:00:00+02:00"]
    )
    async def test_are_taken(self, client, changed, as_of):
        """
        Times are those of ISO 8601, or relative to now.
        """
        assert (await explained(client, as_of=as_of))["as_of"]["time"].startswith("2025-11")

    @pytest.mark.parametrize("as_of", ["yesterday", "-1y", "-7", "1d", 5, "", "2030-01-01", "-2w"])
    async def test_are_refused(self, client, world, changed, as_of):
        """
        What is no time, lies in the future, or before all that is kept, is named.
        """
        world.history.oldest = NOW_MS - 10 * DAY_MS

        assert "as_of" == (await explained(client, 400, as_of=as_of))["attr"]

    async def test_the_oldest_is_named(self, client, world, changed):
        """
        Who asks for too long ago is told from when on it is known.
        """
        world.history.oldest = NOW_MS - 10 * DAY_MS

        answer = await explained(client, 400, as_of="2020-01-01")

        assert "from 2025-11-14T16:00:00Z, the oldest that is kept" in answer["detail"]

    async def test_while_it_is_read(self, client, world, changed):
        """
        Until what is kept has been read, there is no answer.
        """
        world.history.is_ready = False

        await explained(client, 503, as_of="-1d")


class TestGroupHistory:
    async def test_from_and_to(self, client, world):
        """
        What became of a group is listed with what was there before, page by page.
        """
        world.view.set_group("company", "acme", plan="gold")
        for number in range(3):
            update = GroupUpdate(time_ms=5_000, uuid=f"u{number}", set={"plan": number})
            change = PropertyChange("set", "plan", number - 1, number, bool(number))
            world.history.kept.append(KeptChange(1_000 + number, number, update, [change]))
        path = f"{ROOT}/groups/history/?group_type_index=0&group_key=acme&limit=2"

        first = await get(client, path)
        second = await get(client, first["next"])

        assert ([2, 1], [0], None) == (
            *(
                [each["detail"]["changes"][0]["after"] for each in page["results"]]
                for page in (first, second)
            ),
            second["next"],
        )
        assert {
            "id": "2",
            "user": None,
            "author": None,
            "source": "event",
            "event_uuid": "u2",
            "activity": "updated",
            "scope": "Group",
            "item_id": "acme",
            "detail": {
                "name": "acme",
                "changes": [
                    {
                        "type": "Group",
                        "action": "set",
                        "field": "plan",
                        "before": 1,
                        "is_before_known": True,
                        "after": 2,
                    }
                ],
            },
            "created_at": "1970-01-01T00:00:05Z",
            "ingested_at": "1970-01-01T00:00:01.002000Z",
        } == first["results"][0]

    @pytest.mark.parametrize(
        ("query", "status", "attr"),
        [
            ("group_type_index=0&group_key=nobody", 404, None),
            ("group_type_index=0", 400, "group_key"),
            ("group_type_index=0&group_key=acme&limit=101", 400, "limit"),
            ("group_type_index=0&group_key=acme&cursor=x", 400, "cursor"),
        ],
    )
    async def test_refused(self, client, world, query, status, attr):
        """
        What the query has to say, and cannot say, is named.
        """
        world.view.set_group("company", "acme")

        assert attr == (await get(client, f"{ROOT}/groups/history/?{query}", status))["attr"]

    async def test_needs_the_secret_key(self, client):
        """
        The public token reads no properties of groups.
        """
        headers = {"Authorization": f"Bearer {PROJECT.token}"}

        assert 401 == (await client.get(f"{ROOT}/groups/history/", headers=headers)).status
