"""Rates and sizes over HTTP: what is answered, and when to come back."""

import pytest

from flagstream.settings import Settings
from flagstream.topics import Topic
from tests.fakes.views import OTHER_PROJECT, PROJECT
from tests.fakes.world import World

AUTH = {"Authorization": f"Bearer {PROJECT.secret_key}"}
EVENT = {"event": "ev", "distinct_id": "user-1"}
ASKED = {"token": PROJECT.token, "distinct_id": "user-1"}
V1 = {"Authorization": f"Bearer {PROJECT.token}"}
RATES = {
    "max_events_per_s": 2,
    "max_flag_requests_per_s": 2,
    "max_api_requests_per_s": 4,
    "max_definition_requests_per_s": 2,
    "rate_burst_s": 1,
}


@pytest.fixture
def world():
    return World(settings=Settings(**RATES), now_s=1_000)


def events(count, token=PROJECT.token):
    return {"api_key": token, "batch": [EVENT] * count}


def warned(world):
    return [(each.kind, each.field) for each in world.warnings.added]


class TestEvents:
    @pytest.mark.parametrize(
        ("path", "headers", "status", "code"),
        [
            ("/batch/", {}, 429, "rate_limit_exceeded"),
            ("/i/v0/ai/batch/", {}, 429, "rate_limit_exceeded"),
            ("/i/v1/analytics/events", V1, 429, "rate_limit_exceeded"),
            ("/e/", {}, 503, "unavailable"),
            ("/i/v0/e/", {}, 503, "unavailable"),
            ("/capture/", {}, 503, "unavailable"),
        ],
    )
    async def test_refused(self, client, world, path, headers, status, code):
        """
        Whoever sends more than the rate is sent away as a whole, and told when to come back.
        """
        first = await client.post(path, json=events(5), headers=headers)
        kept = len(world.log.appended)
        second = await client.post(path, json=events(3), headers=headers)
        answer = await second.json()

        assert 200 == first.status
        assert (status, code, "2") == (second.status, answer["code"], second.headers["Retry-After"])
        assert "max_events_per_s: expected at most 2 a second, got 3 more" in answer["detail"]
        assert kept == len(world.log.appended)
        assert [("events_rate_limited", "max_events_per_s")] == warned(world)
        assert [3] == world.warnings.counts
        world.now_s += 2
        assert 200 == (await client.post(path, json=events(1), headers=headers)).status

    async def test_shape(self, client):
        """
        The refusal has the shape that PostHog's has.
        """
        await client.post("/batch/", json=events(2))
        answer = await (await client.post("/batch/", json=events(1))).json()

        assert ("validation_error", "rate_limit_exceeded", "max_events_per_s") == (
            answer["type"],
            answer["code"],
            answer["attr"],
        )
        assert answer["detail"].startswith("Rate limit exceeded")

    async def test_others_are_let_in(self, client):
        """
        One project's flood costs no other's events.
        """
        await client.post("/batch/", json=events(2))
        refused = await client.post("/batch/", json=events(1))
        other = await client.post("/batch/", json=events(1, OTHER_PROJECT.token))

        assert (429, 200) == (refused.status, other.status)

    async def test_bad_events_count(self, client):
        """
        Events that are refused count as well.
        """
        first = await client.post("/batch/", json={**events(0), "batch": [EVENT, 5]})

        assert 200 == first.status
        assert 429 == (await client.post("/batch/", json=events(1))).status


class TestFlags:
    @pytest.mark.parametrize("path", ["/flags/?v=2", "/flags/?v=4", "/decide/?v=3"])
    async def test_refused(self, client, world, path):
        """
        Whoever asks more often than the rate is sent away, and told when to come back.
        """
        statuses = [(await client.post(path, json=ASKED)).status for _ in range(2)]
        refused = await client.post(path, json=ASKED, headers={"Origin": "https://a.example"})
        answer = await refused.json()

        assert [200, 200] == statuses
        assert (429, "1") == (refused.status, refused.headers["Retry-After"])
        assert "https://a.example" == refused.headers["Access-Control-Allow-Origin"]
        assert ("validation_error", "rate_limit_exceeded") == (answer["type"], answer["code"])
        assert [("flags_rate_limited", "max_flag_requests_per_s")] == warned(world)
        world.now_s += 1
        assert 200 == (await client.post(path, json=ASKED)).status

    async def test_over_quota(self, client, world):
        """
        A project over its quota is told so with 200, and whoever runs it that it was.
        """
        await client.patch("/api/projects/1", json={"is_quota_limited": True}, headers=AUTH)
        answer = await (await client.post("/flags/?v=2", json=ASKED)).json()

        assert (["feature_flags"], {}) == (answer["quotaLimited"], answer["flags"])
        assert [("flags_quota_limited", "is_quota_limited")] == warned(world)


class TestApi:
    async def test_refused(self, client, world):
        """
        Reads and writes with the secret key count together, each once, and those of definitions
        for local evaluation also by themselves.
        """
        path = "/flags/definitions"
        definitions = [(await client.get(path, headers=AUTH)).status for _ in range(3)]
        world.now_s += 0.5
        others = [
            (await client.patch("/api/projects/1", json={"name": "x"}, headers=AUTH)).status,
            (await client.get("/api/projects/1/persons", headers=AUTH)).status,
            (await client.get("/api/projects/1/feature_flags", headers=AUTH)).status,
            (await client.get("/api/projects/1/cohorts", headers=AUTH)).status,
        ]

        assert [200, 200, 429] == definitions
        assert [200, 200, 200, 429] == others
        assert [
            ("definitions_rate_limited", "max_definition_requests_per_s"),
            ("api_rate_limited", "max_api_requests_per_s"),
        ] == warned(world)

    async def test_of_a_project(self, client, world):
        """
        A project's own rates go before the server's, from its next request on; null is
        the server's.
        """
        body = {"max_events_per_s": 5, "max_flag_requests_per_s": 0}
        changed = await client.patch("/api/projects/1", json=body, headers=AUTH)
        sent = [(await client.post("/batch/", json=events(1))).status for _ in range(6)]
        asked = {(await client.post("/flags/?v=2", json=ASKED)).status for _ in range(20)}
        back = await client.patch("/api/projects/1", json={"max_events_per_s": None}, headers=AUTH)

        assert body == {name: (await changed.json())[name] for name in body}
        assert [*[200] * 5, 429] == sent
        assert {200} == asked
        assert (await back.json())["max_events_per_s"] is None

    @pytest.mark.parametrize(("value", "status"), [(0.5, 400), (1, 200), (0, 200), (None, 200)])
    async def test_nobody_is_shut_out(self, client, value, status):
        """
        The API's rate leaves enough to change it again.
        """
        body = {"max_api_requests_per_s": value}
        response = await client.patch("/api/projects/1", json=body, headers=AUTH)

        assert status == response.status

    @pytest.mark.parametrize("value", [-1, "5", True, 1e10, [], {}])
    async def test_wrong_rate(self, client, value):
        """
        A rate is a number from 0 on, or null.
        """
        body = {"max_events_per_s": value}
        response = await client.patch("/api/projects/1", json=body, headers=AUTH)

        assert 400 == response.status
        assert "max_events_per_s: expected a number from 0 (no limit)" in await response.text()


class TestSizes:
    async def test_no_room_over_the_api(self, client, world):
        """
        Who sets a property that a group has no room for is told, and nothing changes.
        """
        many = {f"p{number}": number for number in range(1_000)}
        world.view.set_group("company", "acme", **many)
        path = "/api/projects/1/groups/update_property?group_type_index=0&group_key=acme"
        known = await client.post(path, json={"key": "p1", "value": 2}, headers=AUTH)
        new = await client.post(path, json={"key": "q", "value": 2}, headers=AUTH)
        answer = await new.json()

        assert (200, 400) == (known.status, new.status)
        detail = "group_properties: expected at most 1000 properties, got 1001 properties"
        assert ("group_properties", detail) == (answer["attr"], answer["detail"])

    async def test_no_room_in_lines(self, client, world):
        """
        Of many lines those that do not fit are named, the others count.
        """
        world.view.set_group("company", "full", **{f"p{n}": n for n in range(1_000)})
        lines = (
            b'{"group_type":"company","group_key":"full","group_properties":{"q":1}}\n'
            b'{"group_type":"company"}\n'
            b'{"group_type":"company","group_key":"new","group_properties":{"q":1}}\n'
        )
        response = await client.post("/api/projects/1/groups/batch", data=lines, headers=AUTH)
        text = await response.text()

        assert ["error", "error", "ok"] == [
            line.split('"result":"')[1].split('"')[0] for line in text.splitlines()
        ]
        assert '"field":"group_properties"' in text.splitlines()[0]
        assert {"q": 1} == world.view.group_properties(1, "company", "new")

    async def test_cut_events_are_kept(self, client, world):
        """
        What is cut of an event costs nothing of the rest, and is no error.
        """
        body = {**EVENT, "api_key": PROJECT.token, "distinct_id": "x" * 201}
        response = await client.post("/e/", json=body)

        assert {"status": 1} == await response.json()
        assert 1 == len([each for each in world.log.appended if each.topic is Topic.EVENTS])
        assert [("id_cut", "distinct_id")] == warned(world)
