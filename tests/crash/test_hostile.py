"""Keys, numbers and JSON that are made to break things, against a real server."""

import base64
import gzip
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from flagstream.flags import FlagSet
from tests.crash.test_bombs import MB, resident_bytes
from tests.server import SECRET_KEY, TOKEN, Server
from tests.waiting import until

CASES = Path(__file__).parents[1] / "conformance" / "cases" / "hostile_keys.json"
KEYS = [
    (each["key"], each.get("as", each["key"])) for each in json.loads(CASES.read_text())["keys"]
]
AUTH = {"Authorization": f"Bearer {SECRET_KEY}"}
TYPE = "a/b %?#😀"
PAGE = "https://app.example"
SHAPES = {
    "python": lambda server, batch: server.request(
        "POST", "/batch/?wait=1", {"api_key": TOKEN, "batch": batch, "historical_migration": False}
    ),
    "node": lambda server, batch: server.request(
        "POST",
        "/batch/?wait=1",
        gzip.compress(json.dumps({"api_key": TOKEN, "batch": batch}).encode()),
        {"Content-Encoding": "gzip", "User-Agent": "posthog-node/5.70.0"},
    ),
    "js": lambda server, batch: server.request(
        "POST",
        "/e/?wait=1&compression=base64",
        b"data=" + quote(base64.b64encode(json.dumps(batch).encode())).encode(),
        {"Origin": PAGE},
    ),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("hostile") / "data")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def server(running):
    """A server that lives on, in bounded memory, whatever a test has sent."""
    running.grown = resident_bytes(running)

    yield running

    assert running.is_ready()
    assert resident_bytes(running) - running.grown < 500 * MB


def captured(key, shape, number):
    """What a client of a shape sends of a group, and of a person who is called so."""
    properties = {"shape": shape, "token": TOKEN}
    identify = {"$group_type": TYPE, "$group_key": key, "$group_set": {shape: number, "n": number}}
    yield {
        "event": "$groupidentify",
        "distinct_id": f"backend-{number}",
        "properties": {**properties, **identify},
    }
    acting = {**properties, "$groups": {TYPE: key}, "$set": {shape: number}}
    yield {"event": "acted", "distinct_id": key, "properties": acting}


@pytest.fixture(scope="module")
def known(running):
    """Every key, captured by clients of every shape; flags that are about them."""
    server = running
    for shape, send in SHAPES.items():
        batch = [
            event for number, (key, _) in enumerate(KEYS) for event in captured(key, shape, number)
        ]
        answer = send(server, batch)
        assert (200, True) == (answer.status, answer.body["applied"]), answer
        assert "rejected" not in answer.body
    about = {"aggregation_group_type_index": 0}
    names = [name for _, name in KEYS]
    for key, condition in {
        "half": {"rollout_percentage": 50},
        "named": {
            "properties": [
                {"key": "$group_key", "type": "group", "group_type_index": 0, "value": names[::2]}
            ]
        },
        "split": {"rollout_percentage": 100},
    }.items():
        filters = {"groups": [condition], **about}
        if key == "split":
            variants = [{"key": each, "rollout_percentage": 50} for each in ("a", "b")]
            filters["multivariate"] = {"variants": variants}
        server.create_flag(key, filters)
    return FlagSet.from_definitions(
        {
            "flags": server.api("GET", "feature_flags/")["results"],
            "group_type_mapping": {"0": TYPE},
        }
    )


def group_query(name):
    return f"group_type_index=0&group_key={quote(name, safe='')}"


class TestKeys:
    @pytest.mark.parametrize(("key", "name"), KEYS, ids=[repr(name) for _, name in KEYS])
    def test_every_route(self, server, known, key, name):
        """
        A key is found again as it is, through every route that names it, and so are the changes of
        its group, its events, and the person who is called so.
        """
        number = [stored for _, stored in KEYS].index(name)
        query = group_query(name)
        listed = f"groups/?group_type_index=0&search={quote(name, safe='')}"
        in_path = quote(name, safe="").replace(".", "%2E")

        found = server.api("GET", f"groups/find?{query}")
        results = server.api("GET", listed)["results"]
        changes = server.api("GET", f"groups/activity?{query}")["results"]
        person = server.api("GET", f"persons/?distinct_id={quote(name, safe='')}")["results"]
        events = server.api("GET", f"events/?distinct_id={quote(name, safe='')}")["results"]

        shapes = dict.fromkeys(SHAPES, number)
        assert (name, {**shapes, "n": number}) == (found["group_key"], found["group_properties"])
        assert name in [each["group_key"] for each in results]
        assert {name} == {each["item_id"] for each in changes}
        assert [[name]] == [each["distinct_ids"] for each in person]
        assert shapes == server.api("GET", f"persons/{in_path}")["properties"]
        assert {name} == {each["distinct_id"] for each in events}

    @pytest.mark.parametrize(("key", "name"), KEYS, ids=[repr(name) for _, name in KEYS])
    def test_flags(self, server, known, key, name):
        """
        Its flags are those that the library answers, in each spelling, named or remembered.
        """
        wanted = {
            each: (answer.enabled, answer.variant)
            for each, answer in known.evaluate("u", groups={TYPE: name}).items()
        }
        stored = server.group(TYPE, name)
        mine = server.flags("u", {TYPE: key})
        without = server.request("POST", "/flags/?v=2", {"token": TOKEN, "distinct_id": key}).body

        assert stored is not None
        for answers in (mine, server.flags("someone", {TYPE: name})):
            assert wanted == {
                each: (answers[each]["enabled"], answers[each].get("variant")) for each in wanted
            }
        assert wanted.keys() == without["flags"].keys()

    @pytest.mark.parametrize(("key", "name"), KEYS, ids=[repr(name) for _, name in KEYS])
    def test_properties(self, server, known, key, name):
        """
        Properties are set, listed, found by their values and removed, whatever they are called.
        """
        query = group_query(name)
        server.api("POST", f"groups/update_property?{query}", {"key": name, "value": [name]})
        values = server.api(
            "GET", f"groups/property_values?group_type_index=0&key={quote(name, safe='')}"
        )
        listed = server.api("GET", "groups/property_definitions")
        set_ = server.group(TYPE, name)
        server.api("POST", f"groups/delete_property?{query}", {"$unset": name})

        assert [name] == set_[name]
        assert [json.dumps([name], separators=(",", ":"), ensure_ascii=False)] == [
            each["name"] for each in values["results"]
        ]
        assert name in [each["name"] for each in listed["0"]]
        assert name not in server.group(TYPE, name)

    def test_pages(self, server, known):
        """
        Pages of a list reach every key, by the addresses that they name.
        """
        seen, path = [], "persons/?limit=7"
        while path:
            page = server.api("GET", path)
            seen += [each["id"] for each in page["results"]]
            path = page["next"] and page["next"].partition("/api/projects/@current/")[2]

        assert {name for _, name in KEYS} <= set(seen)
        assert len(seen) == len(set(seen))


DEEP = b"[" * 100_000 + b"]" * 100_000
DEEP_OBJECTS = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
VALUES = {
    # What is sent as a property, and what is stored; or nothing, where the request is refused.
    "endless": (b"1e400", None),
    "negative endless": (b"-1e400", None),
    "not a number": (b"NaN", None),
    "infinity": (b"-Infinity", None),
    "many digits": (b"9" * 5_000, None),
    "beyond 64 bits": (b"18446744073709551616", 1.8446744073709552e19),
    "64 bits": (b"18446744073709551615", 18446744073709551615),
    "lowest": (b"-9223372036854775808", -9223372036854775808),
    "minus zero": (b"-0.0", 0),
    "small": (b"5e-324", 5e-324),
    "long fraction": (b"0." + b"3" * 5_000, 1 / 3),
    "lone surrogate": (b'"a\\ud800b"', "a?b"),
    "wrong order": (b'"\\ude00\\ud83d"', "??"),
    "raw surrogate": (b'"\xed\xa0\x80"', "\ufffd" * 3),
    "no UTF-8": (b'"\xff\xfe"', "\ufffd\ufffd"),
    "NUL": (b'"a\\u0000b"', "a\0b"),
    "NUL in a name": (b'{"a\\u0000b": 1}', {"a\0b": 1}),
    "surrogate in a name": (b'{"\\udc00": 1}', {"?": 1}),
    "prototype": (b'{"__proto__": {"admin": true}}', {"__proto__": {"admin": True}}),
    "constructor": (b'{"constructor": {"prototype": 1}}', {"constructor": {"prototype": 1}}),
    "name twice": (b'{"a": 1, "a": 2}', {"a": 2}),
    "no name": (b'{"": 1}', {"": 1}),
    "30 levels": (b"[" * 30 + b"]" * 30, json.loads("[" * 30 + "]" * 30)),
}
REFUSED = {
    "deep lists": DEEP,
    "deep objects": DEEP_OBJECTS,
    "deep and not quite JSON": b"[NaN," + DEEP + b"]",
    "a raw NUL": b'"\0"',
    "single quotes": b"'a'",
    "a comma too many": b"[1,]",
    "a comment": b"1 /* a */",
    "hexadecimal": b"0x10",
    "two numbers": b"1 2",
    "half a text": b'"a',
    "half an escape": b'"\\u00"',
}


def beside(value, distinct_id):
    """A batch of a hostile event and a good one."""
    good = json.dumps({"event": "good", "distinct_id": distinct_id}).encode()
    hostile = b'{"event": "e", "distinct_id": "%b", "properties": {"$set": {"v": %b}}}' % (
        f"{distinct_id} hostile".encode(),
        value,
    )
    return b'{"api_key": "%b", "batch": [%b, %b]}' % (TOKEN.encode(), hostile, good)


def names(server, distinct_id):
    path = f"events/?distinct_id={quote(distinct_id)}"
    return [each["event"] for each in server.api("GET", path)["results"]]


class TestValues:
    @pytest.mark.parametrize(("sent", "stored"), VALUES.values(), ids=VALUES)
    def test_stored(self, server, sent, stored, request):
        """
        A value that clients may well send is mended and stored, beside a good event.
        """
        name = f"value: {request.node.callspec.id}"
        answer = server.request("POST", "/batch/?wait=1", beside(sent, name))
        (person,) = server.api("GET", f"persons/?distinct_id={quote(name)}%20hostile")["results"]

        assert (200, True) == (answer.status, answer.body["applied"])
        assert {"v": stored} == person["properties"]
        assert ["good"] == names(server, name)

    @pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
    def test_refused(self, server, sent, request):
        """
        What is no JSON, or nested without end, is refused as a whole: nothing of it is kept.
        """
        name = request.node.callspec.id
        answer = server.request("POST", "/batch/", beside(sent, name))

        assert (400, "invalid_input") == (answer.status, answer.body["code"])
        assert [] == names(server, name)

    @pytest.mark.parametrize(
        ("event", "field"),
        [
            ({"event": {"a": 1}}, "event"),
            ({"distinct_id": None}, "distinct_id"),
            ({"properties": [1]}, "properties"),
            ({"uuid": "0" * 100_000}, "uuid"),
            ({"uuid": {"a": 1}}, "uuid"),
            ({"properties": {"$set": [1]}}, "$set"),
            ({"properties": {"$unset": [{"a": 1}]}}, "$unset"),
        ],
    )
    def test_beside_a_good_one(self, server, event, field):
        """
        A bad event is named, and costs none beside it.
        """
        good = {"event": "good", "distinct_id": f"beside {field}"}
        batch = [{"event": "e", "distinct_id": "bad", **event}, good]
        before = names(server, good["distinct_id"])
        answer = server.request("POST", "/batch/?wait=1", {"api_key": TOKEN, "batch": batch})

        (rejected,) = answer.body["rejected"]
        assert 200 == answer.status
        assert rejected["field"].endswith(field)
        assert len(rejected["detail"]) < 300
        assert [*before, "good"] == names(server, good["distinct_id"])

    @pytest.mark.parametrize(
        ("event", "name"),
        [
            ({"properties": {"$groups": {f"t{n}": "k" for n in range(10_000)}}}, "e"),
            ({"properties": {"$groups": {"t" * 1_000: "k"}}}, "e"),
            ({"event": "e" * 100_000}, "e" * 200),
        ],
        ids=["groups", "long type", "long name"],
    )
    def test_too_much(self, server, event, name, request):
        """
        Of an event with too much of something the rest is kept.
        """
        sent = {"event": "e", "distinct_id": request.node.callspec.id, **event}
        answer = server.request("POST", "/batch/?wait=1", {"api_key": TOKEN, "batch": [sent]})

        assert 200 == answer.status
        assert "rejected" not in answer.body
        assert [name] == names(server, sent["distinct_id"])

    @pytest.mark.parametrize(
        "encoded",
        [
            b"\xef\xbb\xbf%b",
            b" \n\t%b\n",
        ],
        ids=["BOM", "spaces"],
    )
    def test_around(self, server, encoded):
        """
        What is around JSON does no harm.
        """
        event = json.dumps({"api_key": TOKEN, "event": "e", "distinct_id": "around"}).encode()

        assert 200 == server.request("POST", "/e/", encoded % event).status

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-7"])
    def test_other_encodings(self, server, encoding):
        """
        JSON in another encoding than UTF-8 is refused.
        """
        event = json.dumps({"api_key": TOKEN, "event": "é", "distinct_id": "u"}, ensure_ascii=False)
        sent = event.encode(encoding)
        if encoding == "utf-7":
            sent = sent.replace(b'"', b"+ACI-")

        assert 400 == server.request("POST", "/e/", sent).status


DOCUMENTS = {
    "POST feature_flags/": b'{"key": "deep", "filters": %b}',
    "PATCH feature_flags/1/": b'{"filters": {"groups": [{"properties": %b}]}}',
    "POST cohorts/": b'{"name": "deep", "filters": {"properties": %b}}',
    "POST feature_flags/user_blast_radius": b'{"condition": {"properties": %b}}',
    "PATCH groups_types/update_metadata": b"[%b]",
    "POST groups/": b'{"group_type_index": 0, "group_key": "deep", "group_properties": {"a": %b}}',
    "PATCH ": b'{"timezone": %b}',
    "POST dead_letters/replay": b'{"ids": %b}',
}


class TestReaders:
    @pytest.mark.parametrize("deep", [DEEP, DEEP_OBJECTS], ids=["lists", "objects"])
    @pytest.mark.parametrize("place", DOCUMENTS)
    def test_management(self, server, known, place, deep):
        """
        JSON that is nested without end is refused wherever JSON is read, and so is what does not
        go deep enough to be refused as JSON.
        """
        method, _, path = place.partition(" ")
        for value in (deep, deep[: len(deep) // 2], b"[" * 58 + b"]" * 58, b"1e400", b'"\\ud800"'):
            answer = server.request(
                method, f"/api/projects/@current/{path}", DOCUMENTS[place] % value, AUTH
            )

            assert answer.status in (200, 201, 400), answer
            assert value != deep or answer.status == 400

    @pytest.mark.parametrize("deep", [DEEP, DEEP_OBJECTS], ids=["lists", "objects"])
    def test_flags(self, server, deep):
        """
        So it is where flags are asked for, and in each line of groups.
        """
        members = ("person_properties", "group_properties", "groups", "$groups", "distinct_id")
        for member in members:
            body = b'{"token": "%b", "distinct_id": "u", "%b": %b}' % (
                *(TOKEN.encode(), member.encode(), deep),
            )
            assert 400 == server.request("POST", "/flags/?v=2", body).status
        line = b'{"group_type": "a", "group_key": "b", "group_properties": %b}\n' % deep
        good = json.dumps({"group_type": TYPE, "group_key": "good line"}).encode()
        answer = server.request(
            "POST", "/api/projects/@current/groups/batch", line + good + b"\n", AUTH
        )
        results = [json.loads(each)["result"] for each in answer.body.splitlines()]

        assert ["error", "ok"] == results

    def test_deep_definitions(self, server, known):
        """
        Of cohorts within cohorts a hundred are followed; of what is deeper, and of flags upon
        flags, there is an answer as well, and other flags are answered as before.
        """
        last: list[int] = []
        for number in range(120):
            rule = {"key": "plan", "type": "person", "value": "gold"}
            if last:
                rule = {"key": "id", "type": "cohort", "value": last[-1]}
            values = {"properties": {"type": "AND", "values": [rule]}}
            cohort = server.api("POST", "cohorts/", {"name": f"c{number}", "filters": values})
            last.append(cohort["id"])
        for number in (90, 119):
            named = {"key": "id", "type": "cohort", "value": last[number]}
            server.create_flag(f"cohort-{number}", {"groups": [{"properties": [named]}]})
        depends = []
        for number in range(120):
            server.create_flag(f"chain-{number}", {"groups": [{"properties": depends}]})
            flag_id = server.api("GET", f"feature_flags/?search=chain-{number}")["results"][0]["id"]
            named = {"key": str(flag_id), "type": "flag", "value": True}
            depends = [{**named, "operator": "flag_evaluates_to"}]

        flags = server.flags("u", person_properties={"plan": "gold"})

        assert flags["cohort-90"]["enabled"]
        assert not flags["cohort-119"]["enabled"]
        assert flags["chain-119"]["enabled"]

    @pytest.mark.parametrize(
        "path",
        [
            *("/%ff", "/%00", "/%ed%a0%80", "/array/%ff/config", "/array/%00/config.js"),
            *("/static/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/static/..%2farray.js", "/%2e%2e/%2e%2e/"),
            *("/flags/?v=%ff", "/flags/?v=%00", "/e/?data=%ff", "/e/?data=%ed%a0%80", "/e/?_=%ff"),
            *(
                "/api/projects/%ff/",
                "/api/projects/%00/groups/",
                "/api/projects/@current/persons/%ff",
            ),
            "/api/projects/@current/groups/?group_type_index=%ff",
            "/api/projects/@current/groups/?group_type_index=0&search=%ff%00%ed%a0%80",
            "/api/projects/@current/groups/?group_type_index=0&cursor=%ff",
            "/api/projects/@current/groups/?group_type_index=0&cursor=eyJrIjogIlx1ZDgwMCJ9",
            "/api/projects/@current/groups/find?group_type_index=0&group_key=%ed%a0%80",
            "/api/projects/@current/groups/activity?group_type_index=0&group_key=%ff",
            "/api/projects/@current/events/?distinct_id=%ff%00&event=%ed%a0%80",
            "/api/projects/@current/events/?cursor=%ff&after=%ff",
            "/api/projects/@current/persons/?distinct_id=%ed%a0%80",
            "/api/projects/@current/feature_flags/%ff/",
            "/api/projects/@current/feature_flags/%ff/remote_config",
            "/api/projects/@current/feature_flags/?search=%ed%a0%80&tags=%ff&limit=%ff",
            "/api/projects/@current/feature_flags/my_flags?distinct_id=%ff&groups=%7B%22a%22%3A%ff",
            "/api/projects/@current/cohorts/9999999999999999999999/",
        ],
    )
    def test_addresses(self, server, path):
        """
        Addresses that are no UTF-8, or lead elsewhere, are answered or refused like others.
        """
        for headers in ({}, AUTH, {**AUTH, "Origin": PAGE}):
            assert server.request("GET", path, headers=headers).status < 500

    @pytest.mark.parametrize(
        "header",
        [
            *("Authorization", "Origin", "User-Agent", "X-Request-Id", "X-Flagstream-Position"),
            *("If-None-Match", "Content-Encoding", "Content-Type", "PostHog-Sdk-Info"),
            *("PostHog-Request-Timestamp", "Access-Control-Request-Headers", "Cookie", "Accept"),
            *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Referer", "Host"),
        ],
    )
    @pytest.mark.parametrize(
        "value", ["\xff\xfe", "\xed\xa0\x80", "é", "a" * 8_000, "", "Bearer \xff"]
    )
    def test_headers(self, server, header, value):
        """
        So are requests whose headers are no UTF-8, or long.
        """
        asked = {"token": TOKEN, "distinct_id": "u"}
        event = {"api_key": TOKEN, "event": "e", "distinct_id": "headers"}
        for method, path, body in (
            ("POST", "/flags/?v=2", asked),
            *(("POST", "/e/", event), ("POST", "/i/v1/analytics/events", {"batch": [event]})),
            *(("OPTIONS", "/flags/", None), ("GET", "/flags/definitions", None)),
            *(("GET", "/api/projects/", None), ("GET", "/api/projects/@current/persons/", None)),
        ):
            headers = {**AUTH, header: value}
            assert server.request(method, path, body, headers).status < 500


def test_good_events_arrive(server):
    """
    After all of this events are taken, and flags answered.
    """
    server.capture({"event": "last", "distinct_id": "last"})

    until(lambda: ["last"] == names(server, "last"))
    assert server.flags("last") is not None
