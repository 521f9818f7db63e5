"""What became of one group."""

import pytest

from flagstream.state.groups import GroupUpdate
from flagstream.topics import Topic, partition_of, record_key
from tests.fakes.views import PROJECT

from .asking import ROOT, get

PATH = f"{ROOT}/groups/activity"
QUERY = "group_type_index=0&group_key=acme"


@pytest.fixture
def write(world):
    """
    Write updates of a group to the log.
    """
    world.view.set_group("company", "acme")

    def write(group_key="acme", project_id=PROJECT.id, **update):
        key = record_key(project_id, "company", group_key)
        value = GroupUpdate(**{"time_ms": 1_000, **update}).to_bytes()
        partition = partition_of(key, world.topics.partitions)
        return partition, world.topics.append(Topic.GROUP_UPDATES, key, value, partition)

    return write


async def activity(client, query=QUERY, expected=200):
    return await get(client, f"{PATH}/?{query}", expected)


class TestActivity:
    async def test_newest_first(self, client, write):
        """
        Each change says what it set and what it removed, when, and where it came from.
        """
        write()
        write(uuid="u1", set={"plan": "free", "seats": 5}, set_once={"source": "ads"}, time_ms=2)
        partition, offset = write(set={"plan": "gold"}, unset=["seats"], time_ms=3_000)

        answer = await activity(client)

        assert [("updated", "api"), ("updated", "event"), ("created", "first_sight")] == [
            (each["activity"], each["source"]) for each in answer["results"]
        ]
        assert {
            "id": f"{partition}-{offset}",
            "user": None,
            "author": None,
            "source": "api",
            "event_uuid": None,
            "activity": "updated",
            "scope": "Group",
            "item_id": "acme",
            "detail": {
                "name": "acme",
                "changes": [
                    {"type": "Group", "action": "set", "field": "plan", "after": "gold"},
                    {"type": "Group", "action": "unset", "field": "seats", "after": None},
                ],
            },
            "created_at": "1970-01-01T00:00:03Z",
        } == answer["results"][0]
        event = answer["results"][1]
        assert "u1" == event["event_uuid"]
        assert [("set_once", "source"), ("set", "plan"), ("set", "seats")] == [
            (change["action"], change["field"]) for change in event["detail"]["changes"]
        ]
        assert (None, None) == (answer["next"], answer["previous"])

    async def test_only_this_group(self, client, world, write):
        """
        Other groups, those of other projects, and records that are none, are not listed.
        """
        write(set={"plan": "gold"})
        write("other", set={"plan": "free"})
        write(project_id=2, set={"plan": "free"})
        key = record_key(PROJECT.id, "company", "acme")
        world.topics.append(Topic.GROUP_UPDATES, key, b"poison", partition_of(key, 3))

        assert 1 == len((await activity(client))["results"])

    async def test_pages(self, client, write):
        """
        A long history comes in pages.
        """
        for number in range(5):
            write(set={"n": number})

        first = await activity(client, f"{QUERY}&limit=3")
        second = await get(client, first["next"])

        values = [
            each["detail"]["changes"][0]["after"] for each in first["results"] + second["results"]
        ]
        assert ([4, 3, 2, 1, 0], None) == (values, second["next"])

    @pytest.mark.parametrize(
        ("query", "status", "attr"),
        [
            ("group_type_index=0&group_key=nobody", 404, None),
            ("group_type_index=0", 400, "group_key"),
            ("group_key=acme", 400, "group_type_index"),
            (f"{QUERY}&limit=0", 400, "limit"),
            (f"{QUERY}&limit=101", 400, "limit"),
            (f"{QUERY}&cursor=nonsense", 400, "cursor"),
            (f"{QUERY}&cursor=eyJrIjoieC0xIn0=", 400, "cursor"),
        ],
    )
    async def test_refused(self, client, write, query, status, attr):
        """
        What the query has to say, and cannot say, is named.
        """
        assert attr == (await activity(client, query, status))["attr"]

    async def test_needs_the_secret_key(self, client, write):
        """
        The public token reads no properties of groups.
        """
        headers = {"Authorization": f"Bearer {PROJECT.token}"}

        assert 401 == (await client.get(f"{PATH}/?{QUERY}", headers=headers)).status
