"""Groups made and changed over the API."""

import gzip
import json

import pytest

from flagstream.errors import OverloadedError
from flagstream.topics import Topic, key_parts
from flagstream.wire.groups import MAX_LINES
from tests.fakes.views import PROJECT
from tests.fakes.world import NOW_MS

from .asking import AUTH, ROOT, send

GROUPS = f"{ROOT}/groups"
ACME = "group_type_index=0&group_key=acme"
NOW = "2025-11-24T16:00:00Z"


async def post(client, path, body, expected):
    return await send(client, "POST", f"{GROUPS}/{path}", body, expected)


async def post_lines(client, *lines, **options):
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    response = await client.post(f"{GROUPS}/batch", data=text, headers=AUTH, **options)
    assert 200 == response.status, await response.text()
    assert "application/x-ndjson" == response.content_type
    return [json.loads(line) for line in (await response.text()).splitlines()]


def line(group_key, **members):
    return {"group_type": "company", "group_key": group_key, **members}


class TestCreate:
    async def test_create(self, client, world):
        """
        A new group is shown as it was made, and says how far a reader has to be.
        """
        body = {"group_type_index": 0, "group_key": 5, "group_properties": {"plan": "gold"}}
        response = await client.post(f"{GROUPS}/", json=body, headers=AUTH)

        assert 201 == response.status
        assert {**body, "group_key": "5", "created_at": NOW} == await response.json()
        assert response.headers["X-Flagstream-Position"].startswith("groups.0.")
        assert {"plan": "gold"} == world.view.group_properties(1, "company", "5")

    async def test_known(self, client, world):
        """
        A group that is there already is left as it is.
        """
        world.view.set_group("company", "acme", plan="free")
        body = {"group_type_index": 0, "group_key": "acme", "group_properties": {"plan": "gold"}}

        refused = await post(client, "", body, 400)

        assert ("unique", "group_key") == (refused["code"], refused["attr"])
        assert {"plan": "free"} == world.view.group_properties(1, "company", "acme")

    @pytest.mark.parametrize(
        ("body", "status", "attr"),
        [
            ({"group_key": "a"}, 400, "group_type_index"),
            ({"group_type_index": "0", "group_key": "a"}, 400, "group_type_index"),
            ({"group_type_index": True, "group_key": "a"}, 400, "group_type_index"),
            ({"group_type_index": 5, "group_key": "a"}, 400, "group_type_index"),
            ({"group_type_index": 4, "group_key": "a"}, 404, None),
            ({"group_type_index": 0}, 400, "group_key"),
            ({"group_type_index": 0, "group_key": ""}, 400, "group_key"),
            ({"group_type_index": 0, "group_key": "a" * 401}, 400, "group_key"),
            (
                {"group_type_index": 0, "group_key": "a", "group_properties": []},
                400,
                "group_properties",
            ),
        ],
    )
    async def test_refused(self, client, world, body, status, attr):
        """
        What is wrong is named, and nothing of it is kept.
        """
        assert attr == (await post(client, "", body, status))["attr"]
        assert [] == world.log.appended


class TestProperties:
    async def test_update(self, client, world):
        """
        One property is set, the others stay; the group is shown with it.
        """
        world.view.set_group("company", "acme", plan="free", seats=5)

        group = await post(client, f"update_property?{ACME}", {"key": "plan", "value": "gold"}, 200)

        assert {"plan": "gold", "seats": 5} == group["group_properties"]
        assert group["group_properties"] == world.view.group_properties(1, "company", "acme")

    async def test_delete(self, client, world):
        """
        One property is removed, the others stay.
        """
        world.view.set_group("company", "acme", plan="free", seats=5)

        group = await post(client, f"delete_property?{ACME}", {"$unset": "plan"}, 200)

        assert {"seats": 5} == group["group_properties"]
        assert {"seats": 5} == world.view.group_properties(1, "company", "acme")

    async def test_late_views(self, client, world):
        """
        What is durable is shown though the views are late.
        """
        world.view.set_group("company", "acme", plan="free", seats=5)
        world.log.is_lagging = True

        group = await post(client, f"update_property?{ACME}", {"key": "plan", "value": "gold"}, 200)

        assert {"plan": "gold", "seats": 5} == group["group_properties"]

    @pytest.mark.parametrize(
        ("path", "body", "status", "attr"),
        [
            (f"update_property?{ACME}", {"key": "plan", "value": None}, 400, "value"),
            (f"update_property?{ACME}", {"key": "plan"}, 400, "value"),
            (f"update_property?{ACME}", {"key": "", "value": 1}, 400, "key"),
            (f"update_property?{ACME}", {"key": 5, "value": 1}, 400, "key"),
            (
                "update_property?group_type_index=0&group_key=b",
                {"key": "a", "value": 1},
                404,
                None,
            ),
            ("update_property?group_type_index=0", {"key": "a", "value": 1}, 400, "group_key"),
            (f"delete_property?{ACME}", {"$unset": "other"}, 400, "$unset"),
            (f"delete_property?{ACME}", {"$unset": ["plan"]}, 400, "$unset"),
            (f"delete_property?{ACME}", {}, 400, "$unset"),
        ],
    )
    async def test_refused(self, client, world, path, body, status, attr):
        """
        What is wrong is named, and nothing of it is kept.
        """
        world.view.set_group("company", "acme", plan="free")

        assert attr == (await post(client, path, body, status))["attr"]
        assert [] == world.log.appended


class TestBatch:
    async def test_each_line_is_answered(self, client, world):
        """
        Good lines count, bad ones are named with their number; empty lines are passed over.
        """
        world.view.set_group("company", "known", plan="free", seats=5)

        answers = await post_lines(
            client,
            line("acme", group_properties={"plan": "gold"}),
            "",
            line("", group_properties={"plan": "gold"}),
            "{",
            "[]",
            line("known", group_properties={"plan": "gold"}, unset=["seats"]),
            line("known", set_once={"plan": "never", "since": 2020}),
        )

        assert [(1, "ok"), (3, "error"), (4, "error"), (5, "error"), (6, "ok"), (7, "ok")] == [
            (answer["line"], answer["result"]) for answer in answers
        ]
        assert ["group_key", "line", "line"] == [answer["field"] for answer in answers[1:4]]
        assert {"plan": "gold"} == world.view.group_properties(1, "company", "acme")
        known = world.view.group_properties(1, "company", "known")
        assert {"plan": "gold", "since": 2020} == known

    async def test_compressed(self, client, world):
        """
        Lines may be compressed.
        """
        raw = gzip.compress(json.dumps(line("acme", group_properties={"n": 1})).encode())
        headers = {**AUTH, "Content-Encoding": "gzip"}

        response = await client.post(f"{GROUPS}/batch", data=raw, headers=headers)

        assert {"line": 1, "result": "ok"} == json.loads(await response.text())
        assert {"n": 1} == world.view.group_properties(1, "company", "acme")

    async def test_new_types(self, client, world):
        """
        Types get their indexes here as well; the groups of a sixth are refused by name.
        """
        types = ["t2", "t3", "t4", "sixth", "t4"]

        answers = await post_lines(
            client, *({"group_type": name, "group_key": "k"} for name in types)
        )

        assert ["ok", "ok", "ok", "error", "ok"] == [answer["result"] for answer in answers]
        assert "group_type" == answers[3]["field"]
        assert "'sixth'" in answers[3]["detail"]
        claims = [each for each in world.log.appended if each.topic is Topic.GROUP_TYPE_CLAIMS]
        assert 3 == len(claims)

    async def test_as_many_as_are_allowed(self, client, world):
        """
        Ten thousand groups go in one request, each answered; one more line is too large.
        """
        lines = [line(f"c{number}", group_properties={"n": number}) for number in range(MAX_LINES)]

        answers = await post_lines(client, *lines)

        assert [*range(1, MAX_LINES + 1)] == [answer["line"] for answer in answers]
        assert {"ok"} == {answer["result"] for answer in answers}
        assert {f"c{number}" for number in range(MAX_LINES)} == {
            key_parts(each.key)[2] for each in world.log.appended
        }
        body = "{}\n" * (MAX_LINES + 1)
        response = await client.post(f"{GROUPS}/batch", data=body, headers=AUTH)
        assert 413 == response.status

    async def test_known_is_not_sent_again(self, client, world):
        """
        A backend may stream its groups over and over: only what changes is written.
        """
        lines = [line(f"c{number}", group_properties={"n": number}) for number in range(300)]
        await post_lines(client, *lines)
        count = len(world.log.appended)

        await post_lines(client, *lines, line("c7", group_properties={"n": 0}))

        assert count + 1 == len(world.log.appended)

    async def test_log_is_down(self, client, world):
        """
        A line that was not kept for certain is to be sent again; a bad one is still named.
        """
        world.log.is_down = True

        answers = await post_lines(client, line("acme"), line(""))

        assert ["retry", "error"] == [answer["result"] for answer in answers]

    async def test_overload(self, client, world):
        """
        Nothing is read while the agents are behind.
        """
        world.admission.error = OverloadedError("later", retry_after_s=3)

        response = await client.post(f"{GROUPS}/batch", data="{}", headers=AUTH)

        assert (429, "3") == (response.status, response.headers["Retry-After"])

    @pytest.mark.parametrize("path", ["", "update_property", "delete_property", "batch"])
    async def test_needs_the_secret_key(self, client, path):
        """
        The public token changes no group over the API.
        """
        headers = {"Authorization": f"Bearer {PROJECT.token}"}
        response = await client.post(f"{GROUPS}/{path}", data="{}", headers=headers)

        assert 401 == response.status


def test_now():
    """
    The clock of the tests shows the time that is expected above.
    """
    assert 1_764_000_000_000 == NOW_MS
