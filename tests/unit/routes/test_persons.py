"""Persons over the API."""

import pytest
from yarl import URL

from tests.fakes.views import PROJECT

from .asking import AUTH, ROOT, get

PERSONS = f"{ROOT}/persons"


class TestList:
    async def test_pages(self, client, world):
        """
        Persons come in the order of their ids, each once, and a cursor goes on.
        """
        ids = [f"user-{number}" for number in range(5)]
        for each in ids:
            world.view.set_person(each, distinct_ids=[f"anon-of-{each}"])

        first = await get(client, f"{PERSONS}/?limit=3")
        second = await get(client, first["next"])

        assert ids == [person["id"] for person in first["results"] + second["results"]]
        assert second["next"] is None

    async def test_document(self, client, world):
        """
        A person is shown with all ids, properties and a name that people know.
        """
        world.view.set_person("user-1", distinct_ids=["anon-1"], email="a@example.org", seats=5)

        (person,) = (await get(client, f"{PERSONS}/"))["results"]

        assert {
            "type": "person",
            "id": "user-1",
            "uuid": person["uuid"],
            "name": "a@example.org",
            "distinct_ids": ["user-1", "anon-1"],
            "properties": {"email": "a@example.org", "seats": 5},
            "is_identified": True,
            "created_at": "1970-01-01T00:00:01Z",
        } == person

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("distinct_id=anon-1", ["user-1"]),
            ("distinct_id=nobody", []),
            ("search=EXAMPLE", ["user-1"]),
            ("search=anon", ["user-1"]),
            ("search=user", ["user-1", "user-2"]),
            ("search=gold", []),
            ("cursor=nonsense", ["user-1", "user-2"]),
        ],
    )
    async def test_narrowed(self, client, world, query, expected):
        """
        One id finds its person; a search looks at ids, address and name.
        """
        world.view.set_person("user-1", distinct_ids=["anon-1"], email="a@example.org")
        world.view.set_person("user-2", plan="gold")

        found = await get(client, f"{PERSONS}/?{query}")

        assert expected == [person["id"] for person in found["results"]]

    @pytest.mark.parametrize("limit", ["0", "101", "x", "0&distinct_id=user-1"])
    async def test_bad_limit(self, client, limit):
        """
        A page that cannot be is refused by name, also where one person is asked for.
        """
        assert "limit" == (await get(client, f"{PERSONS}/?limit={limit}", 400))["attr"]

    async def test_needs_the_secret_key(self, client):
        """
        The public token shows no person.
        """
        headers = {"Authorization": f"Bearer {PROJECT.token}"}

        assert 401 == (await client.get(f"{PERSONS}/", headers=headers)).status


class TestOne:
    @pytest.mark.parametrize("path", ["user%201%2F2", "anon-1", "anon-1/"])
    async def test_by_any_id(self, client, world, path):
        """
        A person is read by any of the ids, whatever characters they have.
        """
        world.view.set_person("user 1/2", distinct_ids=["anon-1"])

        response = await client.get(URL(f"{PERSONS}/{path}", encoded=True), headers=AUTH)

        assert "user 1/2" == (await response.json())["id"]

    async def test_unknown(self, client):
        """
        Who was never heard of is not found.
        """
        await get(client, f"{PERSONS}/nobody", 404)
