"""Group types and groups over the API."""

import pytest

from flagstream.state.group_types import GroupTypesState

from .asking import ROOT, get, send


async def send_type(client, call, body, expected=200):
    method, _, path = call.partition(" ")
    return await send(client, method, f"{ROOT}/groups_types/{path}", body, expected)


class TestTypes:
    async def test_list(self, client):
        """
        Types are listed with their indexes.
        """
        types = await get(client, f"{ROOT}/groups_types/")

        assert [("company", 0), ("project", 1)] == [
            (each["group_type"], each["group_type_index"]) for each in types
        ]
        assert "1970-01-01T00:00:01Z" == types[0]["created_at"]

    async def test_refused(self, client, world):
        """
        Types that came too late are shown to the project's owner.
        """
        world.catalog.group_types = GroupTypesState(version=1, types=[], refused={"sixth": 9})

        refused = await get(client, f"{ROOT}/groups_types/refused")

        assert {"results": [{"group_type": "sixth"}]} == refused


class TestNewType:
    async def test_gets_the_next_index(self, client):
        """
        A type has its index before its first group is seen, and keeps it however often it comes.
        """
        added = [
            await send_type(client, "POST", {"group_type": name})
            for name in ("team", "company", "team")
        ]

        assert [2, 0, 2] == [each["group_type_index"] for each in added]

    @pytest.mark.parametrize("name", [None, "", 5, "x" * 401])
    async def test_no_name(self, client, name):
        """
        What is no name is refused.
        """
        refused = await send_type(client, "POST", {"group_type": name}, 400)

        assert "group_type" == refused["attr"]

    async def test_other_members(self, client):
        """
        A member that is not known is refused.
        """
        body = {"group_type": "team", "color": "red"}

        refused = await send_type(client, "POST", body, 400)

        assert "color" == refused["attr"]

    async def test_sixth(self, client):
        """
        A sixth type is refused.
        """
        for name in ("c", "d", "e"):
            await send_type(client, "POST", {"group_type": name})

        refused = await send_type(client, "POST", {"group_type": "f"}, 400)

        assert "group_type: expected one of the 5 that there are, got 'f'" == refused["detail"]

    async def test_late(self, client, world):
        """
        Who cannot be told the index yet is to ask again.
        """
        world.log.is_lagging = True

        await send_type(client, "POST", {"group_type": "team"}, 503)


class TestMetadata:
    async def test_names(self, client):
        """
        Types are called as people call them; what is not named stays.
        """
        company = {"group_type_index": 0, "name_singular": "Company", "name_plural": "Companies"}
        await send_type(client, "PATCH update_metadata", [company])
        changes = [
            {"group_type_index": 0, "name_plural": "Firms"},
            {"group_type_index": 1, "name_singular": "Project"},
            {"group_type_index": 1, "name_plural": "Projects"},
        ]

        types = await send_type(client, "PATCH update_metadata", changes)

        assert [("Company", "Firms"), ("Project", "Projects")] == [
            (each["name_singular"], each["name_plural"]) for each in types
        ]
        assert types == await get(client, f"{ROOT}/groups_types/")
        again = await send_type(client, "PATCH update_metadata", types)
        assert types == again

    async def test_columns(self, client):
        """
        Which properties lists show is kept with the type.
        """
        body = {"group_type_index": 1, "default_columns": ["name", "plan"]}

        changed = await send_type(client, "PUT set_default_columns", body)

        assert ("project", ["name", "plan"]) == (changed["group_type"], changed["default_columns"])
        assert [None, ["name", "plan"]] == [
            each["default_columns"] for each in await get(client, f"{ROOT}/groups_types/")
        ]

    @pytest.mark.parametrize(
        ("call", "body", "status", "attr"),
        [
            ("PATCH update_metadata", {}, 400, None),
            ("PATCH update_metadata", [5], 400, None),
            ("PATCH update_metadata", [{"name_plural": "x"}], 400, "group_type_index"),
            ("PATCH update_metadata", [{"group_type_index": True}], 400, "group_type_index"),
            ("PATCH update_metadata", [{"group_type_index": 4}], 404, None),
            (
                "PATCH update_metadata",
                [{"group_type_index": 0}, {"group_type_index": 1, "name_plural": 5}],
                400,
                "[1].name_plural",
            ),
            ("PATCH update_metadata", [{"group_type_index": 0, "colour": ""}], 400, "colour"),
            ("PUT set_default_columns", {"group_type_index": 0}, 400, "default_columns"),
            (
                "PUT set_default_columns",
                {"group_type_index": 0, "default_columns": [5]},
                400,
                "default_columns",
            ),
            ("PUT set_default_columns", {"default_columns": []}, 400, "group_type_index"),
        ],
    )
    async def test_refused(self, client, world, call, body, status, attr):
        """
        What is wrong is named, and of what is beside it nothing is kept either.
        """
        assert attr == (await send_type(client, call, body, status))["attr"]
        assert [] == world.log.appended


class TestList:
    async def test_pages(self, client, world):
        """
        Groups come in the order of their keys, and a cursor goes on where the page ended.
        """
        keys = [f"c{number:03}" for number in range(150)]
        for key in keys:
            world.view.set_group("company", key)

        first = await get(client, f"{ROOT}/groups/?group_type_index=0")
        second = await get(client, first["next"])

        assert keys == [group["group_key"] for group in first["results"] + second["results"]]
        assert second["next"] is None

    async def test_search_in_what_lists_show(self, client, world):
        """
        A search looks at the columns that the type's lists show.
        """
        world.view.set_group("company", "k1", plan="gold")
        path = f"{ROOT}/groups/?group_type_index=0&search=GOL"
        before = (await get(client, path))["results"]
        columns = {"group_type_index": 0, "default_columns": ["plan"]}
        await send_type(client, "PUT set_default_columns", columns)

        after = (await get(client, path))["results"]

        assert ([], ["k1"]) == (before, [group["group_key"] for group in after])

    async def test_document(self, client, world):
        """
        A group is shown with its properties and the time it was first seen.
        """
        world.view.set_group("company", "acme", name="Acme", seats=5)

        (group,) = (await get(client, f"{ROOT}/groups/?group_type_index=0"))["results"]

        assert {
            "group_type_index": 0,
            "group_key": "acme",
            "group_properties": {"name": "Acme", "seats": 5},
            "created_at": "1970-01-01T00:00:01Z",
        } == group

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("search=ACME", ["k1"]),
            ("search=k2", ["k2"]),
            ("group_key=K2", ["k2"]),
            ("group_key=acme", []),
            ("search=nothing", []),
            ("cursor=nonsense", ["k1", "k2"]),
            ("cursor=NQ==", ["k1", "k2"]),
        ],
    )
    async def test_narrowed(self, client, world, query, expected):
        """
        `search` looks at key and name, `group_key` at the key; a bad cursor starts anew.
        """
        world.view.set_group("company", "k1", name="Acme")
        world.view.set_group("company", "k2", name="Beta")

        found = await get(client, f"{ROOT}/groups/?group_type_index=0&{query}")

        assert expected == [group["group_key"] for group in found["results"]]

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("", 400),
            ("group_type_index=x", 400),
            ("group_type_index=5", 400),
            ("group_type_index=-1", 400),
            ("group_type_index=4", 404),
        ],
    )
    async def test_bad_index(self, client, query, status):
        """
        The type's index is required and has to exist.
        """
        await get(client, f"{ROOT}/groups/?{query}", expected=status)


class TestFind:
    async def test_known(self, client, world):
        """
        One group is found by its key.
        """
        world.view.set_group("company", "a/b", name="Acme")

        query = "group_type_index=0&group_key=a%2Fb&skip_create_notebook=true"
        group = await get(client, f"{ROOT}/groups/find?{query}")

        assert ("a/b", {"name": "Acme"}, None) == (
            group["group_key"],
            group["group_properties"],
            group["notebook"],
        )

    @pytest.mark.parametrize(
        ("query", "status"), [("group_key=nobody", 404), ("group_key=", 400), ("", 400)]
    )
    async def test_unknown(self, client, query, status):
        """
        A group that was never seen is not found.
        """
        await get(client, f"{ROOT}/groups/find?group_type_index=0&{query}", expected=status)
