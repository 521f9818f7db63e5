"""Which properties groups have, and which values."""

import pytest

from tests.fakes.views import PROJECT

from .asking import ROOT, get

NAMES = f"{ROOT}/groups/property_definitions"
VALUES = f"{ROOT}/groups/property_values"


def counts(found):
    return [(each["name"], each["count"]) for each in found]


async def values(client, query, expected=200):
    return await get(client, f"{VALUES}/?group_type_index=0&{query}", expected)


@pytest.fixture
def companies(world):
    """Three groups of a type."""
    world.view.set_group("company", "a", plan="Gold", seats=5)
    world.view.set_group("company", "b", plan="free", seats=5)
    world.view.set_group("company", "c", plan="Gold")


class TestNames:
    async def test_by_type(self, client, world, companies):
        """
        Each type has the properties of its groups, the most frequent first.
        """
        world.view.set_group("project", "p", owner="x")

        answer = await get(client, NAMES)

        assert {
            "0": [{"name": "plan", "count": 3}, {"name": "seats", "count": 2}],
            "1": [{"name": "owner", "count": 1}],
            "examined": {"0": 3, "1": 1},
            "is_complete": True,
        } == answer

    async def test_more_than_are_listed(self, client, world):
        """
        However many names there are, the list is bounded.
        """
        world.view.set_group("company", "a", **{f"p{number}": 1 for number in range(6_000)})

        answer = await get(client, NAMES)

        assert (500, False) == (len(answer["0"]), answer["is_complete"])


class TestValues:
    async def test_most_frequent_first(self, client, companies):
        """
        The values of one property are counted.
        """
        answer = await values(client, "key=plan")

        assert {
            "results": [{"name": "Gold", "count": 2}, {"name": "free", "count": 1}],
            "refreshing": False,
            "examined": 3,
            "is_complete": True,
        } == answer

    @pytest.mark.parametrize(
        ("value", "name"), [(5, "5"), (True, "true"), (None, "null"), (["a", 1], '["a",1]')]
    )
    async def test_texts(self, client, world, value, name):
        """
        What is no text is written as filters compare it.
        """
        world.view.set_group("company", "a", p=value)

        assert [(name, 1)] == counts((await values(client, "key=p"))["results"])

    @pytest.mark.parametrize(
        ("part", "expected"), [("OL", [("Gold", 2)]), ("", [("Gold", 2), ("free", 1)]), ("x", [])]
    )
    async def test_narrowed(self, client, companies, part, expected):
        """
        A part of the value, in any case, narrows the list.
        """
        assert expected == counts((await values(client, f"key=plan&value={part}"))["results"])

    async def test_at_most_twenty(self, client, world):
        """
        Of many values the twenty most frequent are listed.
        """
        for number in range(30):
            world.view.set_group("company", f"{number:02}", n=min(number, 25))

        results = (await values(client, "key=n"))["results"]

        assert (20, ("25", 5)) == (len(results), counts(results)[0])

    async def test_long_texts_are_left_out(self, client, world):
        """
        What nobody would pick from a list takes no room there, and the answer says so.
        """
        world.view.set_group("company", "a", p="x" * 401)
        world.view.set_group("company", "b", p="y" * 400)

        answer = await values(client, "key=p")

        assert ([("y" * 400, 1)], False) == (counts(answer["results"]), answer["is_complete"])

    @pytest.mark.parametrize("query", ["", "key="])
    async def test_without_a_name(self, client, query):
        """
        Which property is asked for has to be said.
        """
        assert "key" == (await values(client, query, 400))["attr"]

    @pytest.mark.parametrize(("index", "status"), [("x", 400), ("5", 400), ("4", 404)])
    async def test_bad_index(self, client, index, status):
        """
        The type's index is required and has to exist.
        """
        await get(client, f"{VALUES}?group_type_index={index}&key=plan", status)

    @pytest.mark.parametrize("path", [NAMES, f"{VALUES}?group_type_index=0&key=plan"])
    async def test_needs_the_secret_key(self, client, path):
        """
        The public token reads no properties of groups.
        """
        headers = {"Authorization": f"Bearer {PROJECT.token}"}

        assert 401 == (await client.get(path, headers=headers)).status
