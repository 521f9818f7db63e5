"""What a change of a flag would do to whom."""

import asyncio

import pytest

from flagstream.state.groups import GroupUpdate
from flagstream.state.merge import REDUCERS
from flagstream.topics import Table, record_key
from flagstream.views import ViewStore
from tests.fakes.views import PROJECT
from tests.fakes.world import World
from tests.filters import group_filters

from .asking import AUTH, ROOT, send

PATH = f"{ROOT}/flags/preview"
GOLD = group_filters(plan="gold")


def write(store, **plans):
    fold = REDUCERS[Table.GROUPS].fold
    store.write(
        {
            b"g" + record_key(PROJECT.id, "company", name): fold(
                None, GroupUpdate(time_ms=1, set={"plan": plan}).to_bytes(), 1
            )
            for name, plan in plans.items()
        },
        {},
    )


@pytest.fixture
def world(tmp_path):
    return World(views=tmp_path / "views")


@pytest.fixture
def stored(world):
    """Views on disk, with three companies, written by this process."""
    store = ViewStore(world.views)
    write(store, acme="gold", globex="gold", initech="free")
    yield store
    store.close()


async def previewed(client, status=200, **body):
    return await send(client, "POST", f"{PATH}/", {"key": "new", **body}, status)


class TestPreview:
    async def test_a_new_flag(self, client, stored):
        """
        A flag that is not there yet says whom it would be on for; nothing of it is kept.
        """
        found = await previewed(client, filters=GOLD)

        assert ("company", 3, True) == (
            found["group_type"],
            found["examined"],
            found["is_complete"],
        )
        assert (0, 2) == (found["now"]["on"], found["then"]["on"])
        assert {
            "count": 2,
            "results": [
                {"name": "acme", "now": False, "then": True},
                {"name": "globex", "now": False, "then": True},
            ],
            "next_after": None,
        } == found["join"]
        assert [] == (await send(client, "GET", f"{ROOT}/feature_flags/"))["results"]

    async def test_a_changed_flag(self, client, stored):
        """
        Of a flag that is there, members that are not named stay as they are.
        """
        await send(client, "POST", f"{ROOT}/feature_flags/", {"key": "new", "filters": GOLD}, 201)

        same = await previewed(client)
        free = await previewed(client, filters=group_filters(plan="free"))
        off = await previewed(client, active=False)

        assert (2, 2, 2) == (same["now"]["on"], same["then"]["on"], same["stay"]["count"])
        assert (1, 2) == (free["join"]["count"], free["leave"]["count"])
        assert 2 == off["leave"]["count"]

    async def test_pages(self, client, stored):
        """
        A list is read on page by page.
        """
        first = await previewed(client, filters=GOLD, list="join", limit=1)
        second = await previewed(
            client, filters=GOLD, list="join", limit=1, after=first["next_after"]
        )

        assert ["acme", "globex"] == [page["results"][0]["name"] for page in (first, second)]

    async def test_what_was_just_written(self, client, stored):
        """
        The process reads what the views hold, not what they held when the server started.
        """
        write(stored, umbrella="gold")

        assert 3 == (await previewed(client, filters=GOLD))["join"]["count"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "attr"),
        [
            ({"key": None}, "$.key"),
            ({"key": "a b"}, "key"),
            (
                {"filters": {"groups": [{"rollout_percentage": 101}]}},
                "$.filters.groups[0].rollout_percentage",
            ),
            ({"odd": 1}, "$.odd"),
            ({"list": "all"}, "list"),
            ({"after": "acme"}, "after"),
            ({"list": "join", "after": 5}, "after"),
            ({"limit": 0}, "limit"),
            ({"limit": 1_001}, "limit"),
            ({"limit": True}, "limit"),
            (
                {
                    "filters": {
                        "groups": [{"properties": [{"key": "id", "type": "cohort", "value": 7}]}]
                    }
                },
                "$.filters.groups[0].properties[0].value",
            ),
        ],
    )
    async def test_refused(self, client, stored, body, attr):
        """
        What could not be written cannot be previewed; the member is named.
        """
        assert attr == (await previewed(client, 400, **body))["attr"]

    async def test_about_several(self, client, stored):
        """
        Conditions about groups and persons have nobody that could be counted.
        """
        tests = [{"key": "plan", "type": "person", "value": "gold"}]
        mixed = {**GOLD, "groups": [{"properties": tests}]}

        answer = await previewed(client, 400, filters=mixed)

        assert "filters" == answer["attr"]
        assert "conditions about groups of one type alone" in answer["detail"]

    async def test_one_at_a_time(self, client, stored):
        """
        While one is made, others are told to come back.
        """
        first = asyncio.create_task(previewed(client, filters=GOLD))
        await asyncio.sleep(0)
        answers = []
        while not first.done():
            answers.append(
                await client.post(PATH, json={"key": "new", "filters": GOLD}, headers=AUTH)
            )

        assert 2 == (await first)["join"]["count"]
        assert 429 in {each.status for each in answers}
        assert 2 == (await previewed(client, filters=GOLD))["join"]["count"]

    async def test_views_that_cannot_be_read(self, client):
        """
        Where there is nothing to be read, that is said.
        """
        assert "unavailable" == (await previewed(client, 503, filters=GOLD))["code"]

    async def test_needs_the_secret_key(self, client, stored):
        """
        The public token learns no names of groups.
        """
        headers = {"Authorization": f"Bearer {PROJECT.token}"}

        assert 401 == (await client.post(PATH, json={}, headers=headers)).status
