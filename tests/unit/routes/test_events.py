"""The events that were accepted last."""

import pytest

from flagstream.state.events import EventRecord
from flagstream.topics import Topic, partition_of, record_key
from tests.fakes.views import PROJECT

from .asking import ROOT, get

PATH = f"{ROOT}/events"
SECOND_MS = 1_000


@pytest.fixture
def write(world):
    """
    Write events to the log; the fake's times are its offsets.
    """

    def write(uuid, distinct_id="user-1", project_id=PROJECT.id, **members):
        key = record_key(project_id, distinct_id)
        given = {"event": "signup", "time_ms": 0, "received_ms": 0, **members}
        value = EventRecord(uuid=uuid, distinct_id=distinct_id, **given).to_bytes()
        world.topics.append(Topic.EVENTS, key, value, partition_of(key, world.topics.partitions))

    return write


async def events(client, query="", expected=200):
    return await get(client, f"{PATH}/?{query}", expected)


async def uuids(client, query=""):
    return [each["uuid"] for each in (await events(client, query))["results"]]


class TestList:
    async def test_document(self, client, write):
        """
        An event is shown as it was accepted, with its groups and its session.
        """
        members = {"properties": {"plan": "gold"}, "groups": {"company": "acme"}}
        write("u1", time_ms=1_500, received_ms=2_000, session_id="s1", **members)

        answer = await events(client)

        assert {
            "next": None,
            "previous": None,
            "results": [
                {
                    "id": "u1",
                    "uuid": "u1",
                    "event": "signup",
                    "distinct_id": "user-1",
                    "timestamp": "1970-01-01T00:00:01.500000Z",
                    "received_at": "1970-01-01T00:00:02Z",
                    "session_id": "s1",
                    **members,
                }
            ],
        } == answer

    async def test_pages(self, client, write):
        """
        Pages follow each other, the newest event first, through all partitions.
        """
        for number in range(30):
            write(f"u{number}", f"user-{number}")

        first = await events(client, "limit=20")
        second = await get(client, first["next"])

        found = [each["uuid"] for each in first["results"] + second["results"]]
        assert {f"u{number}" for number in range(30)} == set(found)
        assert (20, 10, None) == (len(first["results"]), len(second["results"]), second["next"])

    async def test_same_event_twice(self, client, write):
        """
        An event that a client has sent again is listed once.
        """
        for uuid in ("u1", "u2", "u1"):
            write(uuid)

        assert ["u1", "u2"] == await uuids(client)

    async def test_only_the_projects(self, client, world, write):
        """
        Neither another project's events are listed, nor records that are none.
        """
        write("u1")
        write("u2", project_id=2)
        write("u3", project_id=11)
        world.topics.append(Topic.EVENTS, record_key(PROJECT.id, "x"), b"poison")

        assert ["u1"] == await uuids(client)

    async def test_odd_values(self, client, write):
        """
        What producers of their own have written is shown, whatever it is.
        """
        write("u1", time_ms=10**18, properties={"n": 2**80})

        (event,) = (await events(client))["results"]

        assert ("9999-12-31T23:59:59Z", 2**80) == (event["timestamp"], event["properties"]["n"])


class TestNarrowed:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("distinct_id=user-2", ["u3", "u2"]),
            ("event=signup", ["u3", "u1"]),
            ("event=signup&distinct_id=user-2", ["u3"]),
            ("event=Signup", []),
            ("distinct_id=nobody", []),
            ("event=&distinct_id=", ["u3", "u2", "u1"]),
        ],
    )
    async def test_by_name_and_id(self, client, write, query, expected):
        """
        The name and the distinct id narrow the list.
        """
        write("u1")
        write("u2", "user-2", event="login")
        write("u3", "user-2")

        assert set(expected) == set(await uuids(client, query))

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("after=1970-01-01T00:00:00.001Z", ["u3", "u2"]),
            ("after=1970-01-01T00:00:00.002Z", ["u3"]),
            ("before=1970-01-01T00:00:00.002Z", ["u1", "late"]),
            ("after=1970-01-01T00:00:00.001Z&before=1970-01-01T00:00:00.003Z", ["u2"]),
            ("before=1970-01-01T01:00:00%2B02:00", []),
            ("after=1970-01-01", ["u3", "u2", "u1"]),
        ],
    )
    async def test_by_time(self, client, world, write, query, expected):
        """
        Times are those of the events; a time in the future counts as the time of arrival.
        """
        write("late", time_ms=0, received_ms=0)
        write("u1", time_ms=1, received_ms=1)
        write("u2", time_ms=2, received_ms=2)
        write("u3", time_ms=9_000, received_ms=3)

        assert expected == await uuids(client, query)

    async def test_old_ones_are_not_looked_at(self, client, write):
        """
        Who asks for what came after a time is not sent on through what came before.
        """
        for number in range(2_000):
            write(f"u{number}", time_ms=number, received_ms=number)

        answer = await events(client, "limit=3&after=1970-01-01T00:00:01.996Z")

        assert (["u1999", "u1998", "u1997"], None) == (
            [each["uuid"] for each in answer["results"]],
            answer["next"],
        )

    @pytest.mark.parametrize(
        ("query", "attr"),
        [
            ("after=yesterday", "after"),
            ("before=", "before"),
            ("limit=101", "limit"),
            ("limit=x", "limit"),
            ("cursor=x", "cursor"),
            ("cursor=", "cursor"),
        ],
    )
    async def test_refused(self, client, query, attr):
        """
        What cannot be read is named.
        """
        assert attr == (await events(client, query, 400))["attr"]

    async def test_needs_the_secret_key(self, client):
        """
        The public token writes events and reads none.
        """
        headers = {"Authorization": f"Bearer {PROJECT.token}"}

        assert 401 == (await client.get(PATH, headers=headers)).status
