"""The wire contract row by row, and what three clients were recorded asking; cases are data."""

import base64
import gzip
import json
import zlib
from pathlib import Path
from urllib.parse import quote_plus

import pytest
import zstandard
from aiohttp import hdrs
from aiohttp.test_utils import TestServer
from lzstring import LZString

from flagstream.api import create_app
from flagstream.state.events import EventRecord
from flagstream.topics import Topic
from tests.fakes.world import NOW_MS

CASES = Path(__file__).parents[2] / "conformance" / "cases"
CONTRACT = json.loads((CASES / "wire_rows.json").read_text())
RECORDED = json.loads((CASES / "client_requests.json").read_text())["cases"]
EVENT = {"event": "ev", "distinct_id": "u"}
ASKED = {"token": "phc_one", "distinct_id": "user-2"}
CAPTURE_PATHS = [
    *("/batch/", "/e/", "/i/v0/e/", "/capture/", "/track/", "/engage/"),
    *("/i/v0/ai/batch/", "/i/v0/ai/"),
]
PAGE = "https://app.example"
WRAPPERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
    "base64": base64.b64encode,
    "lz64": lambda raw: LZString.compressToBase64(raw.decode()).encode(),
    "form": lambda raw: b"data=" + quote_plus(raw).encode(),
}


def rows(cases, label="name"):
    """Run a test on each of some cases."""
    return pytest.mark.parametrize("case", cases, ids=[case[label] for case in cases])


def of_browsers(case):
    """Tell what browsers ask from what only backends, operators and load balancers do."""
    _, _, path = case["request"].partition(" ")
    others = ("/api/projects", "/_", "/flags/definitions", "/api/feature_flag/")
    return case["status"] != 405 and not path.startswith(others)


@pytest.fixture
async def client(world, aiohttp_client):
    """A client of the application as it is served: bodies arrive as they were sent."""
    server = TestServer(create_app(world.services()))
    await server.start_server(auto_decompress=False)
    return await aiohttp_client(server)


@pytest.fixture
def remote_config(world):
    """A remote config flag of a group, and a flag of every person."""
    test = {"key": "$group_key", "type": "group", "value": ["5", "acme"], "group_type_index": 0}
    filters = {
        "aggregation_group_type_index": 0,
        "groups": [{"properties": [test]}],
        "payloads": {"true": '{"a":1}'},
    }
    world.catalog.set_flag(
        {"id": 1, "key": "f", "filters": filters, "is_remote_configuration": True}
    )
    world.catalog.set_flag({"id": 2, "key": "person", "filters": {"groups": [{}]}})


def events(world):
    return [
        EventRecord.from_bytes(each.value)
        for each in world.log.appended
        if each.topic is Topic.EVENTS
    ]


def enabled(answer):
    return sorted(key for key, flag in answer["flags"].items() if flag["enabled"])


async def ask(client, path, body, **options):
    """Send JSON, and read the answer, which must be 200."""
    response = await client.post(path, json=body, **options)
    assert 200 == response.status, await response.text()
    return await response.json()


@pytest.mark.usefixtures("remote_config")
class TestRows:
    @pytest.mark.parametrize("has_slash", [True, False], ids=["slash", "no slash"])
    @rows(CONTRACT["rows"], "request")
    async def test_answer(self, client, case, has_slash):
        """
        Every address of the contract answers, with a slash at its end and without, whatever is
        repeated or unknown in the query.
        """
        method, _, url = case["request"].partition(" ")
        path, _, query = url.partition("?")
        path = path.rstrip("/") + "/" * has_slash
        response = await client.request(
            method, f"{path}?{query}", json=case.get("body"), headers=case.get("headers")
        )

        assert case["status"] == response.status, await response.text()
        if "answer" in case:
            assert case["answer"] == await response.json()
        if "has" in case:
            assert set(case["has"]) <= (await response.json()).keys()

    @rows(list(filter(of_browsers, CONTRACT["rows"])), "request")
    async def test_browsers(self, client, case):
        """
        A page of another origin may ask wherever browsers do, and read the answer, also a refusal.
        """
        method, _, path = case["request"].partition(" ")
        preflight = await client.options(
            path,
            headers={
                hdrs.ORIGIN: PAGE,
                hdrs.ACCESS_CONTROL_REQUEST_METHOD: method,
                hdrs.ACCESS_CONTROL_REQUEST_HEADERS: "content-type,x-own",
            },
        )
        response = await client.request(
            method,
            path,
            json=case.get("body"),
            headers={**case.get("headers", {}), hdrs.ORIGIN: PAGE},
        )

        assert 204 == preflight.status
        assert method in preflight.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS]
        assert "content-type,x-own" == preflight.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS]
        assert case["status"] == response.status
        for answer in (preflight, response):
            assert PAGE == answer.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN]
            assert "true" == answer.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS]

    @rows(RECORDED)
    async def test_as_recorded(self, client, case):
        """
        What the clients in use ask is answered as they need it.
        """
        body = json.dumps(case["body"]).encode() if "body" in case else None
        response = await client.request(
            case["method"],
            case["path"],
            data=gzip.compress(body) if case.get("is_gzip") else body,
            headers=case["headers"],
        )
        answer = await response.json()

        assert 200 == response.status
        match case["expected"]:
            case {"answer": expected}:
                assert expected == answer
            case {"enabled": expected}:
                assert expected == enabled(answer)
            case {"definitions": expected}:
                assert expected == [flag["key"] for flag in answer["flags"]]


class TestEvents:
    @pytest.mark.parametrize("path", CAPTURE_PATHS)
    @rows(CONTRACT["envelopes"])
    async def test_envelopes(self, client, world, case, path):
        """
        Each form of a request is taken on every path.
        """
        answer = await ask(client, f"{path}?{case.get('query', '')}", case["body"])

        assert {"status": 1} == answer
        assert [("ev", "u")] * case["events"] == [
            (each.event, each.distinct_id) for each in events(world)
        ]

    @rows(CONTRACT["times"])
    async def test_times(self, client, world, case):
        """
        When an event happened is read from wherever clients say it.
        """
        await ask(client, f"/e/?{case['query']}", case["body"])

        assert case["age_ms"] == NOW_MS - events(world)[0].time_ms

    async def test_sixth_group_type(self, client, world):
        """
        An event of a sixth type of group is taken like any other, and keeps what it says.
        """
        groups = {f"type-{number}": number for number in range(6)}
        identify = {"$group_type": "type-5", "$group_key": "k", "$group_set": {"a": 1}}
        batch = [
            {"event": "ev", "distinct_id": "u", "properties": {"$groups": groups}},
            {"event": "$groupidentify", "distinct_id": "u", "properties": identify},
            {"event": "ev", "distinct_id": "u", "properties": {"$groups": "type-0"}},
        ]

        assert {"status": 1} == await ask(client, "/batch/", {"api_key": "phc_one", "batch": batch})
        assert [groups, None, "type-0"] == [
            each.properties.get("$groups") for each in events(world)
        ]


class TestEncodings:
    @pytest.mark.parametrize(
        ("path", "body", "names"),
        [
            ("/e/", {"api_key": "phc_one", "event": "é", "distinct_id": "u"}, ["é"]),
            ("/batch/", {"api_key": "phc_one", "batch": [EVENT, EVENT]}, ["ev", "ev"]),
            ("/flags/", ASKED, []),
            ("/decide/", ASKED, []),
        ],
    )
    @rows(CONTRACT["encodings"])
    async def test_every_encoding(self, client, world, case, path, body, names):
        """
        Every encoding of every client is read on every path; the bytes tell, not the labels.
        """
        raw = json.dumps(body).encode()
        for wrapper in case["wrap"]:
            raw = WRAPPERS[wrapper](raw)
        headers = {hdrs.CONTENT_TYPE: case["content_type"]}
        if case["content_encoding"]:
            headers[hdrs.CONTENT_ENCODING] = case["content_encoding"]

        response = await client.post(f"{path}?{case['query']}", data=raw, headers=headers)

        assert 200 == response.status, await response.text()
        assert names == [each.event for each in events(world)]


class TestFlags:
    @rows(CONTRACT["fields"])
    async def test_fields(self, client, world, case):
        """
        Each spelling of each field has its effect.
        """
        for flag in CONTRACT["flags"]:
            world.catalog.set_flag({"bucketing": "sha1", **flag})
        body = {**ASKED, **case["members"]}
        answer = await ask(client, "/flags/?v=2", body, headers={hdrs.USER_AGENT: "Mozilla/5.0"})

        assert case["enabled"] == enabled(answer)

    @rows(CONTRACT["versions"], "request")
    async def test_versions(self, client, world, case):
        """
        Every version gets the flags in its shape, and the configuration where it wants it.
        """
        split = {"variants": [{"key": "blue", "rollout_percentage": 100}]}
        for number, (key, filters) in enumerate(
            {
                "on": {"groups": [{}], "payloads": {"true": "[1]"}},
                "off": {"groups": []},
                "split": {"groups": [{}], "multivariate": split},
            }.items()
        ):
            world.catalog.set_flag({"id": number, "key": key, "filters": filters})
        answer = await ask(client, case["request"], ASKED)
        config = {**CONTRACT["config"], **CONTRACT["config_of_decide"]}
        del config["token"]

        flags = {name: answer.pop(name) for name in case["flags"]}
        if "flags" in flags:
            flags["flags"] = {
                key: flag["variant"] or flag["enabled"] for key, flag in flags["flags"].items()
            }
        assert case["flags"] == flags
        assert {"errorsWhileComputingFlags", "requestId", "evaluatedAt"} == (
            answer.keys() - (config.keys() if case["has_config"] else set())
        )
        assert not case["has_config"] or config.items() <= answer.items()

    async def test_configuration(self, client):
        """
        posthog-js gets just the configuration that it behaves well with.
        """
        response = await client.get("/array/phc_one/config")

        assert CONTRACT["config"] == await response.json()
