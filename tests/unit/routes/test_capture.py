"""Events in over HTTP, on every path and in every wrapping."""

import gzip
import io
import json
from pathlib import Path

import pytest

from flagstream.errors import OverloadedError
from flagstream.state.events import EventRecord
from flagstream.state.persons import PersonUpdate
from flagstream.topics import Topic
from tests.fakes.views import PROJECT
from tests.fakes.world import NOW_MS

CASES = Path(__file__).parents[2] / "conformance" / "cases"
REQUESTS = [
    case
    for case in json.loads((CASES / "capture_requests.json").read_text())
    if case["wrapping"] in ("plain", "gzip")
]
EVENT = {"event": "ev", "distinct_id": "user-1"}
BODY = {"token": PROJECT.token, "batch": [EVENT]}
IDENTIFY_GROUP = {
    "event": "$groupidentify",
    "distinct_id": "user-1",
    "properties": {"$group_type": "company", "$group_key": "a", "$group_set": {"plan": "pro"}},
}

UUIDS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(3)]
V1_HEADERS = {
    "Authorization": f"Bearer {PROJECT.token}",
    "PostHog-Sdk-Info": "posthog-python/7.91.1",
    "PostHog-Request-Timestamp": "2025-11-24T15:59:50+00:00",
}


def appended(world, topic=Topic.EVENTS):
    return [each for each in world.log.appended if each.topic is topic]


class TestPaths:
    async def test_engage(self, client, world):
        """
        Only where people are engaged may an event lack its name.
        """
        body = {"token": PROJECT.token, "distinct_id": "user-1", "$set": {"plan": "pro"}}
        statuses = [(await client.post(path, json=body)).status for path in ("/engage/", "/e/")]

        assert [200, 400] == statuses
        assert 1 == len(appended(world, Topic.PERSON_UPDATES))

    async def test_recordings(self, client, world):
        """
        Session recordings are accepted and not kept.
        """
        response = await client.post("/s/", data=gzip.compress(b"whatever"))

        assert (200, b'{"status":1}') == (response.status, await response.read())
        assert [] == world.log.appended

    @pytest.mark.parametrize("case", REQUESTS, ids=[case["name"] for case in REQUESTS])
    async def test_as_recorded(self, client, world, case):
        """
        The requests of the clients in use are accepted as they are sent.
        """
        raw = json.dumps(case["body"]).encode()
        is_gzip = case["wrapping"] == "gzip"
        headers = {"Content-Type": "text/plain"}
        if case["content_encoding"]:
            headers["Content-Encoding"] = case["content_encoding"]
        response = await client.post(
            case["path"],
            data=gzip.compress(raw) if is_gzip else raw,
            headers=headers,
            params=case["query"],
        )

        assert 200 == response.status
        assert len(case["events"]) == len(appended(world))


class TestRejected:
    async def test_beside_good_ones(self, client, world):
        """
        What is refused is named in the answer by its place, uuid and field; the rest is kept.
        """
        bad = {"distinct_id": "user-1", "uuid": "00000000-0000-4000-8000-000000000001"}
        response = await client.post("/batch/", json={**BODY, "batch": [EVENT, bad, 5]})
        answer = await response.json()

        assert 200 == response.status
        assert [
            {
                "index": 1,
                "uuid": bad["uuid"],
                "field": "event",
                "detail": "event: expected a name of 1 to 200 characters, got ''",
            },
            {
                "index": 2,
                "uuid": None,
                "field": "event",
                "detail": "event: expected an object, got 5",
            },
        ] == answer["rejected"]
        assert 1 == len(appended(world))
        assert 2 == len(world.warnings.added)

    @pytest.mark.parametrize(
        ("body", "status", "attr"),
        [
            (b"", 400, None),
            (b"{", 400, None),
            (b"[" * 100_000, 400, None),
            (json.dumps({**BODY, "batch": []}).encode(), 400, "batch"),
            (json.dumps({**BODY, "batch": [{"event": "ev"}]}).encode(), 400, "distinct_id"),
            (json.dumps({"batch": [EVENT]}).encode(), 401, "token"),
            (json.dumps({**BODY, "token": "phc_unknown"}).encode(), 401, None),
            (json.dumps({**BODY, "token": "phx_personal"}).encode(), 401, "token"),
            (b'{"a":"%b"}' % (b"x" * 2_100_000), 413, None),
            (gzip.compress(b'{"a":"%b"}' % (b"x" * 2_100_000)), 413, None),
        ],
    )
    async def test_unusable(self, client, world, body, status, attr):
        """
        A request of which nothing can be used is an error that names the field.
        """
        response = await client.post("/e/", data=io.BytesIO(body))
        answer = await response.json()

        assert (status, attr) == (response.status, answer["attr"])
        assert [] == world.log.appended

    async def test_batches_may_be_larger(self, client, world):
        """
        A batch may be larger than a single event.
        """
        batch = [{**EVENT, "properties": {"a": "x" * 800_000}}] * 3
        response = await client.post(
            "/batch/", data=io.BytesIO(json.dumps({**BODY, "batch": batch}).encode())
        )

        assert 200 == response.status
        assert 3 == len(appended(world))


class TestBusy:
    async def test_log_is_down(self, client, world):
        """
        What is not durable is not acknowledged: the client shall come again.
        """
        world.log.is_down = True
        response = await client.post("/e/", json=BODY)

        assert (503, "1") == (response.status, response.headers["Retry-After"])

    @pytest.mark.parametrize(
        ("path", "status"), [("/batch/", 429), ("/e/", 503), ("/i/v0/e/", 503), ("/capture/", 503)]
    )
    async def test_admission_comes_first(self, client, world, path, status):
        """
        An overloaded server refuses before it looks at the body; pages so that they come again.
        """
        world.admission.error = OverloadedError("too far behind", retry_after_s=2)
        response = await client.post(path, data=b"{")

        assert (status, "2") == (response.status, response.headers["Retry-After"])


class TestWait:
    @pytest.mark.parametrize("is_lagging", [False, True])
    async def test_applied(self, client, world, is_lagging):
        """
        Who waits learns whether flags are answered from the change.
        """
        world.log.is_lagging = is_lagging
        response = await client.post("/e/?wait=1", json={**BODY, "batch": [IDENTIFY_GROUP]})

        assert {"status": 1, "applied": not is_lagging} == await response.json()


class TestV1:
    async def post(self, client, *events, status=200, **headers):
        response = await client.post(
            "/i/v1/analytics/events",
            json={"created_at": "2025-11-24T15:59:49Z", "batch": list(events)},
            headers={**V1_HEADERS, **headers},
        )
        assert status == response.status, await response.text()
        return await response.json()

    def event(self, number=0, **members):
        return {
            "event": "ev",
            "uuid": UUIDS[number],
            "distinct_id": "user-1",
            "timestamp": "2025-11-24T15:59:49+00:00",
            "options": {},
            "properties": {},
            **members,
        }

    async def test_results(self, client, world):
        """
        Each event is answered by its uuid: what is kept, and what never will be.
        """
        answer = await self.post(client, self.event(0), self.event(1, event=""))

        kept, dropped = (answer["results"][uuid] for uuid in UUIDS[:2])
        assert {"result": "ok", "details": None} == kept
        assert "drop" == dropped["result"]
        assert dropped["details"].startswith("event: expected")
        assert 1 == len(appended(world))

    async def test_nothing_usable(self, client, world):
        """
        Also where nothing is kept the request itself has succeeded.
        """
        answer = await self.post(client, self.event(0, properties=[]))

        assert {UUIDS[0]: "drop"} == {
            uuid: each["result"] for uuid, each in answer["results"].items()
        }
        assert [] == appended(world)

    async def test_odd_events(self, client, world):
        """
        What is no event at all, or has no readable uuid, costs none of the good ones; a client that
        does not say what it is is believed nonetheless.
        """
        odd = ["nonsense", self.event(1, uuid=None, event=""), self.event(2, options="none")]
        answer = await self.post(client, *odd, **{"PostHog-Sdk-Info": ""})

        assert {UUIDS[2]: {"result": "ok", "details": None}} == answer["results"]
        (event,) = (EventRecord.from_bytes(each.value) for each in appended(world))
        assert {} == event.properties

    async def test_members(self, client, world):
        """
        Sessions, options and the library are where the older forms have them, and the time is
        corrected for the client's clock.
        """
        await self.post(
            client,
            self.event(
                session_id="s1",
                window_id="w1",
                options={"process_person_profile": False, "cookieless_mode": True},
                properties={"$set": {"plan": "pro"}, "n": 1},
            ),
            self.event(1, options={"disable_skew_correction": True}),
        )

        corrected, as_sent = (EventRecord.from_bytes(each.value) for each in appended(world))
        assert {
            "$session_id": "s1",
            "$window_id": "w1",
            "$process_person_profile": False,
            "$cookieless_mode": True,
            "$lib": "posthog-python",
            "$lib_version": "7.91.1",
            "$set": {"plan": "pro"},
            "n": 1,
        } == corrected.properties
        assert "s1" == corrected.session_id
        (first_sight,) = appended(world, Topic.PERSON_UPDATES)
        assert {} == PersonUpdate.from_bytes(first_sight.value).set
        assert [1_000, 11_000] == [NOW_MS - each.time_ms for each in (corrected, as_sent)]

    @pytest.mark.parametrize("batch", [None, [], {}])
    async def test_no_events(self, client, batch):
        """
        A request without events is refused.
        """
        response = await client.post(
            "/i/v1/analytics/events", json={"batch": batch}, headers=V1_HEADERS
        )

        assert (400, "batch") == (response.status, (await response.json())["attr"])

    @pytest.mark.parametrize("authorization", ["", "Bearer phc_nobody", "Bearer phs_one"])
    async def test_token(self, client, world, authorization):
        """
        Who has no project's token is told so, and nothing is kept.
        """
        await self.post(client, self.event(), status=401, Authorization=authorization)

        assert [] == world.log.appended

    async def test_log_is_down(self, client, world):
        """
        What is not durable is not acknowledged: the client sends all of it again.
        """
        world.log.is_down = True

        await self.post(client, self.event(), status=503)
