"""OpenFeature's remote evaluation protocol."""

import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from flagstream.management import new_row
from tests.fakes.views import OTHER_PROJECT, PROJECT
from tests.fakes.world import NOW_MS
from tests.ofrep import PATH
from tests.unit.routes.test_secret_keys import make

PUBLIC = {"Authorization": f"Bearer {PROJECT.token}"}
SECRET = {"Authorization": f"Bearer {PROJECT.secret_key}"}
ANNA = {"targetingKey": "anna"}
ACME = {**ANNA, "groups": {"company": "acme"}}
VARIANTS = {"variants": [{"key": "blue", "rollout_percentage": 100}]}


def flag_row(key="flag", conditions=({},), *, flag_id=1, of_groups=True, filters=None, **members):
    """A flag of groups, or of persons, with one condition after the other."""
    groups = [{"properties": [], "rollout_percentage": 100, **each} for each in conditions]
    given = {
        "key": key,
        "filters": {
            "groups": groups,
            "aggregation_group_type_index": 0 if of_groups else None,
            **(filters or {}),
        },
    }
    row = new_row(given, flag_id=flag_id, bucketing="murmur3", now_ms=NOW_MS)
    return {**row, "version": 3, **members}


def has(name, value, *, of_groups=True):
    """A filter on a property."""
    kind = {"type": "group", "group_type_index": 0} if of_groups else {"type": "person"}
    return {"key": name, "value": value, "operator": "exact", **kind}


PRO = flag_row("pro", [{"properties": [has("plan", "pro")]}])
MAY_BE = {
    "boolean, on": (flag_row(), True, "on", "STATIC"),
    "boolean, off": (flag_row("flag", [{"rollout_percentage": 0}]), False, "off", "SPLIT"),
    "by rules": (
        flag_row("flag", [{"properties": [has("plan", "pro")]}]),
        True,
        "on",
        "TARGETING_MATCH",
    ),
    "no rule matches": (
        flag_row("flag", [{"properties": [has("plan", "free")]}]),
        False,
        "off",
        "UNKNOWN",
    ),
    "variants": (
        flag_row(filters={"multivariate": VARIANTS, "payloads": {"blue": {"a": 1}}}),
        "blue",
        "blue",
        "STATIC",
    ),
    "variants, drawn": (
        flag_row(
            filters={
                "multivariate": {
                    "variants": [{"key": each, "rollout_percentage": 50} for each in ("b", "a")]
                }
            }
        ),
        "a",
        "a",
        "SPLIT",
    ),
    "variants, off": (
        flag_row("flag", [{"rollout_percentage": 0}], filters={"multivariate": VARIANTS}),
        None,
        "off",
        "SPLIT",
    ),
    "payload of a switch": (flag_row(filters={"payloads": {"true": "5"}}), True, "on", "STATIC"),
    "held out": (
        flag_row(filters={"holdout": {"id": 5, "exclusion_percentage": 100}}),
        True,
        "holdout-5",
        "SPLIT",
    ),
    **{
        f"configuration {payload}": (
            flag_row(filters={"payloads": {"true": payload}}, is_remote_configuration=True),
            value,
            "on",
            "STATIC",
        )
        for payload, value in (
            ('{"a": [1]}', {"a": [1]}),
            ("5", 5),
            ("0.5", 0.5),
            ('"text"', "text"),
            ("false", False),
            ("[1]", True),
        )
    },
    "configuration, off": (
        flag_row(
            "flag",
            [{"rollout_percentage": 0}],
            filters={"payloads": {"true": "5"}},
            is_remote_configuration=True,
        ),
        None,
        "off",
        "SPLIT",
    ),
}


async def ask(client, path=PATH, context=ACME, status=200, headers=PUBLIC):
    response = await client.post(path, json={"context": context}, headers=headers)
    assert status == response.status, await response.text()
    answer = await response.json()
    answer.pop("eventStreams", None)
    return answer


async def one(client, context=ACME, status=200, headers=PUBLIC, key="flag"):
    return await ask(client, f"{PATH}/{key}", context, status, headers)


class TestFlag:
    @pytest.mark.parametrize(("row", "value", "variant", "reason"), MAY_BE.values(), ids=MAY_BE)
    async def test_value(self, client, world, row, value, variant, reason):
        """
        A flag answers with the value, variant and reason of its kind, alone and among all.
        """
        world.catalog.set_flag(row)
        world.view.set_group("company", "acme", plan="pro")

        answer = await one(client)

        assert (value, variant, reason) == (
            answer.get("value"),
            answer["variant"],
            answer["reason"],
        )
        assert type(value) is type(answer.get("value"))
        assert {"flags": [answer]} == await ask(client)

    async def test_metadata(self, client, world):
        """
        What /flags tells of a flag besides is its metadata, and nothing else.
        """
        world.catalog.set_flag(flag_row(filters={"payloads": {"true": '{"a":1}'}}, name="secret"))

        assert {
            "id": 1,
            "version": 3,
            "reason": "condition_match",
            "condition_index": 0,
            "payload": '{"a":1}',
        } == (await one(client))["metadata"]


class TestContext:
    @pytest.mark.parametrize(
        ("row", "context", "is_on"),
        [
            (PRO, {"groups": {"company": "acme"}}, True),
            (PRO, {"groups": {"company": 14}}, True),
            (PRO, {"groups": {"company": "free"}}, False),
            (PRO, {"groups": {"company": None}}, False),
            (PRO, {"groups": None}, False),
            (PRO, {}, False),
            (
                PRO,
                {"groups": {"company": "free"}, "group_properties": {"company": {"plan": "pro"}}},
                True,
            ),
        ],
    )
    async def test_groups(self, client, world, row, context, is_on):
        """
        A flag of groups follows from the group that the context names, and from its properties, as
        stored or as given.
        """
        world.catalog.set_flag(row)
        for key, plan in (("acme", "pro"), ("14", "pro"), ("free", "free")):
            world.view.set_group("company", key, plan=plan)

        assert is_on is (await one(client, {**ANNA, **context}, key="pro"))["value"]

    async def test_person(self, client, world):
        """
        Whatever else a context holds is properties of the person, and goes before the stored ones.
        """
        of_person = [{"properties": [has("plan", "pro", of_groups=False)]}]
        world.catalog.set_flag(flag_row(conditions=of_person, of_groups=False))
        world.view.set_person("anna", plan="pro")

        assert (await one(client, ANNA))["value"]
        assert not (await one(client, {**ANNA, "plan": "free"}))["value"]
        assert (await one(client, {"targetingKey": "ben", "plan": "pro"}))["value"]

    async def test_remembered_groups(self, client, world):
        """
        A group that the context leaves out is filled from the session's, as for /flags.
        """
        world.catalog.set_flag(PRO)
        world.view.set_group("company", "acme", plan="pro")
        world.view.active[PROJECT.id, "anna"] = {"company": "acme"}

        assert (await one(client, ANNA, key="pro"))["value"]
        assert "acme" not in json.dumps(await ask(client, context=ANNA))

    @pytest.mark.parametrize(
        ("context", "code", "named"),
        [
            (None, "INVALID_CONTEXT", "context: expected an object, got None"),
            ([], "INVALID_CONTEXT", "context: expected an object, got []"),
            ({}, "TARGETING_KEY_MISSING", "context.targetingKey: expected text, got None"),
            (
                {"targetingKey": ""},
                "TARGETING_KEY_MISSING",
                "context.targetingKey: expected text, got ''",
            ),
            ({"targetingKey": 5}, "INVALID_CONTEXT", "context.targetingKey: expected text, got 5"),
            (
                {**ANNA, "groups": ["acme"]},
                "INVALID_CONTEXT",
                "context.groups: expected an object, got ['acme']",
            ),
            (
                {**ANNA, "group_properties": {"company": 5}},
                "INVALID_CONTEXT",
                "context.group_properties.company: expected an object, got 5",
            ),
        ],
    )
    async def test_refused(self, client, context, code, named):
        """
        A context that is wrong is refused by the member that is, for one flag and for all.
        """
        refused = {"errorCode": code, "errorDetails": named}

        assert refused == await ask(client, context=context, status=400)
        assert {**refused, "key": "pro"} == await one(client, context, 400, key="pro")

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b'{"context":'])
    async def test_no_request(self, client, body):
        """
        What is no JSON object with a context is refused.
        """
        response = await client.post(PATH, data=body, headers=PUBLIC)

        assert 400 == response.status
        assert (await response.json())["errorCode"] in ("PARSE_ERROR", "INVALID_CONTEXT")


class TestWho:
    @pytest.mark.parametrize(
        "headers",
        [
            PUBLIC,
            SECRET,
            {"X-API-Key": PROJECT.token},
            {"X-API-Key": PROJECT.secret_key, "Authorization": "Basic other"},
        ],
    )
    async def test_may(self, client, world, headers):
        """
        The public token is enough, a secret key does as well, in either header.
        """
        world.catalog.set_flag(flag_row())

        assert (await one(client, headers=headers))["value"]

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"X-API-Key": "x"}])
    async def test_may_not(self, client, headers):
        """
        Nobody else is answered.
        """
        for path in (PATH, f"{PATH}/flag"):
            refused = await ask(client, path, status=401, headers=headers)

            assert "GENERAL" == refused["errorCode"]

    async def test_project(self, client, world):
        """
        Whose flags are answered is whose token or key it is.
        """
        world.catalog.set_flag(flag_row())
        others = {"Authorization": f"Bearer {OTHER_PROJECT.token}"}

        assert {"flags": []} == await ask(client, headers=others)

    async def test_not_found(self, client, world):
        """
        A flag that is not there, or not active, is not found; with a secret key one that is not
        active is answered as disabled, and leaves the value to the code.
        """
        world.catalog.set_flag(flag_row("inactive", active=False))

        for key in ("unknown", "inactive"):
            refused = await one(client, status=404, key=key)
            assert ("FLAG_NOT_FOUND", key) == (refused["errorCode"], refused["key"])
        disabled = await one(client, headers=SECRET, key="inactive")
        assert ("DISABLED", "off") == (disabled["reason"], disabled["variant"])
        assert "value" not in disabled
        assert {"flags": []} == await ask(client, headers=SECRET)

    @pytest.mark.parametrize(
        ("headers", "seen"),
        [
            ({**PUBLIC, "User-Agent": "python-requests/2.34"}, {"server"}),
            ({**PUBLIC, "Origin": "http://page", "User-Agent": "Mozilla/5.0"}, {"client"}),
            ({**SECRET, "Origin": "http://page", "User-Agent": "Mozilla/5.0"}, {"server"}),
        ],
    )
    async def test_runtimes(self, client, world, headers, seen):
        """
        A flag for servers alone is not seen by pages, and the other way round; who has a secret key
        is a server.
        """
        for flag_id, runtime in enumerate(("server", "client"), 1):
            world.catalog.set_flag(flag_row(runtime, flag_id=flag_id, evaluation_runtime=runtime))

        answer = await ask(client, headers=headers)

        assert seen == {flag["key"] for flag in answer["flags"]}
        for key in {"server", "client"} - seen:
            await one(client, status=404, headers=headers, key=key)

    async def test_scope(self, client, world):
        """
        A secret key needs the scope that definitions are read with, or one that implies it.
        """
        world.catalog.set_flag(flag_row())

        for scope, status in (("groups:write", 403), ("flags:read", 200), ("flags:write", 200)):
            key = (await make(client, scopes=[scope]))["secret"]
            await one(client, headers={"Authorization": f"Bearer {key}"}, status=status)

    async def test_rate(self, client, world):
        """
        A project that asks for more than its rate is told when to come back.
        """
        world.catalog.write(PROJECT.id, "project", "1", {"max_flag_requests_per_s": 0.01})
        await ask(client)
        before = refused("rate_limit_exceeded")

        response = await client.post(PATH, json={"context": ACME}, headers=PUBLIC)

        assert (429, before + 1) == (response.status, refused("rate_limit_exceeded"))
        assert int(response.headers["Retry-After"]) > 0
        assert "GENERAL" == (await response.json())["errorCode"]

    async def test_counted(self, client, world):
        """
        What is answered is counted by its reason, alone and among all.
        """
        world.catalog.set_flag(flag_row())
        before = matches()

        await ask(client)
        await one(client)

        assert 2 == matches() - before


def refused(code):
    """Read how many requests were refused with a code."""
    return REGISTRY.get_sample_value("flagstream_http_refusals_total", {"code": code}) or 0


def matches():
    """How many answers there were by a condition that matched."""
    labels = {"reason": "condition_match"}
    return REGISTRY.get_sample_value("flagstream_evaluations_total", labels)


class TestFailure:
    async def test_unreadable_definition(self, client, world):
        """
        A flag whose definition cannot be read fails, and costs none of the others.
        """
        world.catalog.set_flag(flag_row("bad") | {"filters": {"groups": "nonsense"}})
        world.catalog.set_flag(flag_row("good", flag_id=2))

        flags = {flag["key"]: flag for flag in (await ask(client))["flags"]}

        assert flags["good"]["value"]
        assert "PARSE_ERROR" == flags["bad"]["errorCode"]
        assert "value" not in flags["bad"]
        assert flags["bad"] == await one(client, status=400, key="bad")

    async def test_state_that_cannot_be_read(self, client, world):
        """
        While stored state cannot be read, flags that need it fail, and the others are answered.
        """
        world.catalog.set_flag(PRO)
        world.catalog.set_flag(flag_row("all", flag_id=2, of_groups=False))
        world.view.is_down = True

        flags = {flag["key"]: flag for flag in (await ask(client))["flags"]}

        assert ("GENERAL", True) == (flags["pro"]["errorCode"], flags["all"]["value"])
        assert "GENERAL" == (await one(client, status=500, key="pro"))["errorCode"]
        assert (await one(client, key="all"))["value"]

    async def test_quota(self, client, world):
        """
        A project over its quota has no flags evaluated.
        """
        world.catalog.write(PROJECT.id, "project", "1", {"is_quota_limited": True})

        assert "GENERAL" == (await ask(client, status=402))["errorCode"]

    async def test_too_large(self, client, world):
        """
        A body that is larger than an event may be is refused.
        """
        body = io.BytesIO(b" " * (world.settings.max_event_body_bytes + 1))

        response = await client.post(PATH, data=body, headers=PUBLIC)

        assert 413 == response.status
        assert "GENERAL" == (await response.json())["errorCode"]

    async def test_position(self, client, world):
        """
        A position that nobody said is refused.
        """
        refused = await ask(client, headers={**PUBLIC, "X-Flagstream-Position": "x"}, status=400)

        assert refused["errorDetails"].startswith("X-Flagstream-Position: ")


class TestETag:
    async def etag(self, client, context=ACME, headers=PUBLIC):
        response = await client.post(PATH, json={"context": context}, headers=headers)
        assert 200 == response.status
        return response.headers["ETag"]

    async def test_not_modified(self, client, world):
        """
        Who has what would be answered is told so, without it.
        """
        world.catalog.set_flag(PRO)
        headers = {**PUBLIC, "If-None-Match": await self.etag(client)}

        response = await client.post(PATH, json={"context": ACME}, headers=headers)

        assert (304, b"") == (response.status, await response.read())
        assert headers["If-None-Match"] == response.headers["ETag"]

    async def test_covers(self, client, world):
        """
        It follows from the context, the group, the person, the session and the definitions.
        """
        world.catalog.set_flag(PRO)
        of_person = [{"properties": [has("plan", "pro", of_groups=False)]}]
        world.catalog.set_flag(flag_row("mine", flag_id=2, conditions=of_person, of_groups=False))
        etags = [await self.etag(client), await self.etag(client, ANNA)]

        world.view.set_group("company", "acme", plan="pro")
        etags += [await self.etag(client)]
        world.view.set_person("anna", plan="pro")
        etags += [await self.etag(client)]
        world.view.active[PROJECT.id, "anna"] = {"company": "acme"}
        etags += [await self.etag(client, ANNA)]
        world.catalog.set_flag({**PRO, "version": 4})
        etags += [await self.etag(client)]

        assert len(etags) == len(set(etags))

    async def test_what_nothing_follows_from(self, client, world):
        """
        It stays where a property changes that no flag looks at.
        """
        world.catalog.set_flag(PRO)
        world.view.set_group("company", "acme", plan="pro")
        before = await self.etag(client)

        world.view.set_group("company", "acme", seats=5)
        world.view.set_person("anna", seats=5)

        assert before == await self.etag(client)

    async def test_pages_see_it(self, client):
        """
        A page of another origin may send its key and the tag, and read the tag of the answer.
        """
        origin = {"Origin": "https://page.example"}
        asked = "authorization,content-type,if-none-match"
        preflight = await client.options(
            PATH, headers={**origin, "Access-Control-Request-Headers": asked}
        )
        response = await client.post(PATH, json={"context": ACME}, headers={**PUBLIC, **origin})

        assert (204, asked) == (
            preflight.status,
            preflight.headers["Access-Control-Allow-Headers"],
        )
        assert "Etag" in response.headers["Access-Control-Expose-Headers"]
        assert origin["Origin"] == response.headers["Access-Control-Allow-Origin"]


CONTEXTS = st.fixed_dictionaries(
    {"targetingKey": st.sampled_from(["anna", "ben"])},
    optional={
        "groups": st.dictionaries(st.just("company"), st.sampled_from(["acme", "other"])),
        "group_properties": st.just({"company": {"plan": "pro"}}),
        "plan": st.sampled_from(["pro", "free"]),
    },
)


class TestAgreement:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
    @given(contexts=st.lists(CONTEXTS, min_size=1, max_size=5))
    async def test_with_flags(self, client, world, contexts):
        """
        All flags, each flag alone and /flags say the same of everybody, whoever asked before.
        """
        of_person = has("plan", "pro", of_groups=False)
        conditions = ([of_person], [has("plan", "pro")], [of_person, has("plan", "pro")])
        for flag_id, properties in enumerate(conditions, 1):
            world.catalog.set_flag(
                flag_row(
                    f"flag-{flag_id}",
                    [{"properties": properties}],
                    flag_id=flag_id,
                    of_groups=flag_id == 2,
                )
            )
        world.view.set_group("company", "acme", plan="pro")

        for context in contexts:
            asked = {
                "token": PROJECT.token,
                "distinct_id": context["targetingKey"],
                "groups": context.get("groups"),
                "group_properties": context.get("group_properties"),
                "person_properties": {k: v for k, v in context.items() if k == "plan"},
            }
            theirs = await (await client.post("/flags/?v=2", json=asked)).json()
            all_of_them = (await ask(client, context=context))["flags"]
            alone = [await one(client, context, key=flag["key"]) for flag in all_of_them]

            assert all_of_them == alone
            assert {key: flag["enabled"] for key, flag in theirs["flags"].items()} == {
                flag["key"]: flag["value"] for flag in all_of_them
            }
