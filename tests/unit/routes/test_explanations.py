"""Why a flag answers a user as it does."""

import pytest

from flagstream.state.groups import GroupUpdate
from flagstream.topics import Topic, partition_of, record_key
from tests.fakes.views import PROJECT

from .asking import ROOT, send
from .test_flags import flag_row

PATH = f"{ROOT}/flags/explain"
PLAN = {"key": "plan", "value": "pro"}
ASKED = {"flag_key": "new", "distinct_id": "anna", "groups": {"company": "acme"}}


@pytest.fixture
def flag(world):
    """A flag of groups, and a group that it is on for."""
    world.view.set_group("company", "acme", plan="pro")
    world.catalog.set_flag(flag_row("new", flag_id=1, test=PLAN))


async def explained(client, status=200, **members):
    return await send(client, "POST", f"{PATH}/", {**ASKED, **members}, status)


async def answered(client, **members):
    """Ask `/flags` the same."""
    body = {"token": PROJECT.token, **ASKED, **members}
    return (await send(client, "POST", "/flags/?v=2", body))["flags"].get(
        members.get("flag_key", "new")
    )


class TestAnswer:
    @pytest.mark.parametrize(
        "members",
        [
            {},
            {"groups": {"company": "other"}},
            {"groups": {}},
            {"group_properties": {"company": {"plan": "free"}}},
            {"groups": {"company": "other"}, "group_properties": {"company": {"plan": "pro"}}},
        ],
    )
    async def test_as_flags_answers(self, client, flag, members):
        """
        What is explained is what `/flags` answers to the same request.
        """
        explanation, answer = (
            await explained(client, **members),
            await answered(client, **members),
        )

        assert explanation["is_answered"]
        assert answer == {
            "key": explanation["key"],
            "enabled": explanation["enabled"],
            "variant": explanation["variant"],
            "reason": {
                "code": explanation["reason"],
                "condition_index": explanation["condition_index"],
                "description": explanation["description"],
            },
            "metadata": {
                "id": explanation["id"],
                "version": explanation["version"],
                "description": None,
                "payload": explanation["payload"],
                "has_experiment": False,
            },
        }

    @pytest.mark.parametrize(
        ("row", "absence"),
        [
            ({"active": False}, "disabled"),
            ({"evaluation_runtime": "client"}, "evaluation_runtime"),
            ({"evaluation_contexts": ["docs"]}, "evaluation_contexts"),
        ],
    )
    async def test_flags_that_are_left_out(self, client, world, row, absence):
        """
        A flag that `/flags` leaves out is explained all the same, with why.
        """
        world.catalog.set_flag(flag_row("new", flag_id=1, test=PLAN, **row))
        audience = {"evaluation_runtime": "server", "evaluation_contexts": ["app"]}

        explanation = await explained(client, **audience)

        assert (False, absence) == (explanation["is_answered"], explanation["absence"])
        assert await answered(client, **audience) is None

    async def test_over_quota(self, client, world, flag):
        """
        Over its quota, a project's flags are explained as they would be.
        """
        world.catalog.write(PROJECT.id, "project", "settings", {"is_quota_limited": True})

        explanation = await explained(client)

        assert (True, False, "quota") == (
            explanation["value"],
            explanation["is_answered"],
            explanation["absence"],
        )


class TestOrigins:
    async def test_stored_with_version_and_time(self, client, world, flag):
        """
        A stored value is shown with the version of its write, and when the log had that.
        """
        key = record_key(PROJECT.id, "company", "acme")
        partition = partition_of(key, world.settings.partitions)
        update = GroupUpdate(time_ms=5, set={"plan": "pro"}).to_bytes()
        for _ in range(2):
            offset = world.topics.append(Topic.GROUP_UPDATES, key, update, partition)

        explanation = await explained(client)

        (test,) = explanation["conditions"][0]["filters"]
        assert ("pro", "stored", offset) == (
            test["seen"],
            test["origin"]["source"],
            test["origin"]["version"],
        )
        assert "1970-01-01T00:00:00.001000Z" == test["origin"]["written_at"]

    async def test_what_the_log_has_no_more(self, client, flag):
        """
        Where the log does not reach back to a write, its time is not made up.
        """
        (test,) = (await explained(client))["conditions"][0]["filters"]

        assert ("stored", None) == (test["origin"]["source"], test["origin"]["written_at"])

    @pytest.mark.parametrize(
        ("test", "group", "seen", "source"),
        [
            ({"key": "plan"}, True, "free", "request"),
            ({"key": "$group_key"}, True, "acme", "server"),
            ({"key": "none"}, True, None, "missing"),
            ({"key": "age"}, False, 5, "request"),
            ({"key": "city"}, False, "Rome", "stored"),
            ({"key": "distinct_id"}, False, "anna", "server"),
            ({"key": "none"}, False, None, "missing"),
        ],
    )
    async def test_each_source(self, client, world, test, group, seen, source):
        """
        Of each value is said where it comes from.
        """
        world.view.set_group("company", "acme", plan="pro")
        world.view.set_person("anna", city="Rome", age=4)
        world.catalog.set_flag(flag_row("new", test={"value": "x", **test}, group=group))
        given = {"person_properties": {"age": 5}, "group_properties": {"company": {"plan": "free"}}}

        (found,) = (await explained(client, **given))["conditions"][0]["filters"]

        assert (seen, source) == (found["seen"], found["origin"]["source"])


class TestGroups:
    async def test_named_remembered_and_missing(self, client, world):
        """
        Of each type that the flag looks at is said whether its group was named or remembered.
        """
        world.view.set_group("company", "acme", plan="pro")
        world.catalog.set_flag(flag_row("new", test=PLAN))

        named = (await explained(client))["groups"]
        missing = (await explained(client, groups={}))["groups"]
        world.view.active[PROJECT.id, "anna"] = {"company": "acme"}
        remembered = (await explained(client, groups={}, session_id="s"))["groups"]

        unset = {"distinct_id": None, "session_id": None, "remembered_at": None}
        acme = {"group_type": "company", "group_key": "acme", "is_known": True}
        assert [{**acme, "source": "request", **unset}] == named
        assert [
            {**acme, "group_key": None, "is_known": False, "source": "missing", **unset}
        ] == missing
        memory = {"distinct_id": "anna", "session_id": "s", "remembered_at": "1970-01-01T00:00:01Z"}
        assert [{**acme, "source": "memory", **memory}] == remembered

    async def test_the_person(self, client, world, flag):
        """
        The person is shown with all ids.
        """
        world.view.set_person("anna", distinct_ids=["anon"])

        known = (await explained(client, distinct_id="anon"))["person"]
        unknown = (await explained(client, distinct_id="bert"))["person"]

        assert {"distinct_id": "anon", "is_known": True, "distinct_ids": ["anna", "anon"]} == known
        assert {"distinct_id": "bert", "is_known": False, "distinct_ids": []} == unknown


class TestRefusals:
    @pytest.mark.parametrize(
        ("members", "status", "attr"),
        [
            ({"flag_key": None}, 400, "flag_key"),
            ({"flag_key": ["new"]}, 400, "flag_key"),
            ({"distinct_id": None}, 400, "distinct_id"),
            ({"distinct_id": ""}, 400, "distinct_id"),
            ({"groups": ["acme"]}, 400, "groups"),
            ({"groups": "acme"}, 400, "groups"),
            ({"group_properties": {"company": 5}}, 400, "group_properties.company"),
            ({"flag_key": "none"}, 404, None),
        ],
    )
    async def test_refused(self, client, flag, members, status, attr):
        """
        What is wrong with a request is named.
        """
        assert attr == (await explained(client, status, **members))["attr"]

    async def test_while_nothing_can_be_read(self, client, world, flag):
        """
        While the views cannot be read, nothing is explained from half of what is stored.
        """
        world.view.is_down = True

        assert "unavailable" == (await explained(client, 503))["code"]

    async def test_needs_the_secret_key(self, client, flag):
        """
        The public token reads no properties of groups.
        """
        headers = {"Authorization": f"Bearer {PROJECT.token}"}

        assert 401 == (await client.post(PATH, json=ASKED, headers=headers)).status
