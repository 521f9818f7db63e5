"""`/flags` and `/decide` in every version and spelling."""

import gzip
import json
import uuid
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flagstream.management import new_row
from flagstream.ports import ProjectSettings
from flagstream.state.persons import PersonUpdate
from flagstream.topics import key_parts
from tests.fakes.views import OTHER_PROJECT, PROJECT
from tests.fakes.world import NOW_MS

ASKED = {"token": PROJECT.token, "distinct_id": "anna"}
ACME = {**ASKED, "groups": {"company": "acme"}}


def flag_row(key: str, *, flag_id: int = 1, test: Any = None, group: bool = True, **members: Any):
    """A flag on for whoever passes *test*, by default for all."""
    kind = {"type": "group", "group_type_index": 0} if group else {"type": "person"}
    properties = [] if test is None else [{"operator": "exact", **kind, **test}]
    filters = {"groups": [{"properties": properties, "rollout_percentage": 100}]}
    if group:
        filters["aggregation_group_type_index"] = 0
    filters |= members.pop("filters", {})
    given = {"key": key, "name": "About it", "filters": filters}
    row = new_row(given, flag_id=flag_id, bucketing="murmur3", now_ms=NOW_MS)
    return {**row, "version": 3, **members}


PRO = flag_row("pro", test={"key": "plan", "value": "pro"})


async def flags_of(client, body, query="v=2", **headers):
    response = await client.post(f"/flags/?{query}", json=body, headers=headers)
    assert response.status == 200, await response.text()
    return await response.json()


def enabled(answer):
    return {key for key, flag in answer["flags"].items() if flag["enabled"]}


class TestAnswer:
    async def test_version_2(self, client, world):
        """
        A v=2 answer has the members that clients read, in their order.
        """
        world.catalog.set_flag(
            PRO | {"filters": {**PRO["filters"], "payloads": {"true": '{"a":1}'}}}
        )
        world.view.set_group("company", "acme", plan="pro")

        answer = await flags_of(client, ACME)

        assert ["flags", "errorsWhileComputingFlags", "requestId", "evaluatedAt"] == list(answer)
        assert NOW_MS == answer["evaluatedAt"]
        assert not answer["errorsWhileComputingFlags"]
        flag = answer["flags"]["pro"]
        assert ("pro", True, None) == (flag["key"], flag["enabled"], flag["variant"])
        assert {
            "code": "condition_match",
            "condition_index": 0,
            "description": "Matched condition set 1",
        } == flag["reason"]
        assert (1, 3, '{"a":1}') == tuple(
            flag["metadata"][name] for name in ("id", "version", "payload")
        )

    async def test_newer_versions_have_the_shape_of_2(self, client, world):
        """
        v=3 and v=4 are answered as v=2, which python reads by the absence of `value`.
        """
        world.catalog.set_flag(PRO)
        world.view.set_group("company", "acme", plan="pro")

        answers = [await flags_of(client, ACME, f"v={version}") for version in (2, 3, 4)]

        assert answers[0]["flags"] == answers[1]["flags"] == answers[2]["flags"]
        assert "value" not in answers[2]["flags"]["pro"]

    @pytest.mark.parametrize("path", ["/flags", "/flags/?v=2", "/decide/", "/decide?v=3"])
    async def test_probes(self, client, path):
        """
        GET answers no flags with the configuration, HEAD and OPTIONS are answered.
        """
        answer = await (await client.get(path)).json()

        assert {} == answer["flags"]
        assert answer["hasFeatureFlags"] is True
        assert (await client.head(path)).status == 200
        options = await client.options(path)
        assert options.status == 204
        assert "POST" in options.headers["Allow"]

    async def test_request_id_is_echoed(self, client):
        """
        A uuid in `X-Request-Id` comes back, anything else is replaced.
        """
        wanted = str(uuid.uuid4())

        assert wanted == (await flags_of(client, ASKED, **{"X-Request-Id": wanted}))["requestId"]
        fresh = (await flags_of(client, ASKED, **{"X-Request-Id": "nonsense"}))["requestId"]
        assert 7 == uuid.UUID(fresh).version

    async def test_inactive_and_deleted_flags_are_left_out(self, client, world):
        """
        An inactive or deleted flag is not answered at all.
        """
        world.catalog.set_flag(flag_row("inactive", group=False, active=False))
        world.catalog.set_flag(flag_row("deleted", flag_id=2, group=False, deleted=True))

        assert {} == (await flags_of(client, ASKED))["flags"]

    async def test_disable_flags(self, client, world):
        """
        With `disable_flags` nothing is evaluated, and no distinct id is needed.
        """
        world.catalog.set_flag(flag_row("on", group=False))

        answer = await flags_of(client, {"token": PROJECT.token, "disable_flags": True})

        assert {} == answer["flags"]

    @pytest.mark.parametrize("name", ["flag_keys", "flag_keys_to_evaluate"])
    async def test_only_named_flags(self, client, world, name):
        """
        A request can name the flags that it wants.
        """
        for flag_id, key in enumerate(("a", "b", "c"), start=1):
            world.catalog.set_flag(flag_row(key, flag_id=flag_id, group=False))

        answer = await flags_of(client, {**ASKED, name: ["a", "c", "unknown"]})

        assert {"a", "c"} == set(answer["flags"])

    @pytest.mark.parametrize(
        ("query", "keys", "expected"),
        [
            ("=true", None, {"survey-targeting-1", "survey-targeting-2"}),
            ("=1", ["a", "survey-targeting-2"], {"survey-targeting-2"}),
            ("=false", None, {"a", "survey-targeting-1", "survey-targeting-2"}),
        ],
    )
    @pytest.mark.parametrize("path", ["/flags/?v=2", "/decide/?v=4"])
    async def test_only_flags_of_surveys(self, client, world, path, query, keys, expected):
        """
        A page that has nothing but surveys gets the flags of these alone.
        """
        for flag_id, key in enumerate(("a", "survey-targeting-1", "survey-targeting-2"), start=1):
            world.catalog.set_flag(flag_row(key, flag_id=flag_id, group=False))

        asked = f"{path}&only_evaluate_survey_feature_flags{query}"
        response = await client.post(asked, json={**ASKED, "flag_keys": keys})

        assert expected == set((await response.json())["flags"])


class TestGroups:
    async def test_group_without_key(self, client, world):
        """
        Without a group a group flag is off for want of its group.
        """
        world.catalog.set_flag(PRO)

        answer = await flags_of(client, ASKED)

        assert "no_group_type" == answer["flags"]["pro"]["reason"]["code"]

    @pytest.mark.parametrize(
        ("key", "is_on"),
        [("5", True), (5, True), (5.0, True), (True, False), ({}, False), ("", False)],
    )
    async def test_keys(self, client, world, key, is_on):
        """
        A number names the group of its text; what is neither text nor number names none.
        """
        world.catalog.set_flag(PRO)
        world.view.set_group("company", "5", plan="pro")

        answer = await flags_of(client, {**ASKED, "groups": {"company": key}})

        assert is_on == ("pro" in enabled(answer))

    async def test_remembered_group_fills_what_is_left_out(self, client, world):
        """
        A request that forgets the group gets the answer of the session's active group.
        """
        world.catalog.set_flag(PRO)
        world.view.set_group("company", "acme", plan="pro")
        world.view.active[PROJECT.id, "anna"] = {"company": "acme"}

        assert {"pro"} == enabled(await flags_of(client, ASKED))
        assert {"pro"} == enabled(await flags_of(client, {**ASKED, "groups": {"project": "p"}}))

    async def test_named_group_wins_over_remembered(self, client, world):
        """
        Of each type the request's own group counts.
        """
        world.catalog.set_flag(PRO)
        world.view.set_group("company", "acme", plan="pro")
        world.view.set_group("company", "free", plan="free")
        world.view.active[PROJECT.id, "anna"] = {"company": "acme"}

        assert set() == enabled(await flags_of(client, {**ASKED, "groups": {"company": "free"}}))

    async def test_memory_can_be_turned_off(self, client, world):
        """
        A project may want only what the request names.
        """
        world.catalog.set_flag(PRO)
        world.view.set_group("company", "acme", plan="pro")
        world.view.active[PROJECT.id, "anna"] = {"company": "acme"}
        settings_ = ProjectSettings(remember_active_groups=False)
        body = {name: getattr(settings_, name) for name in settings_.__slots__}
        world.catalog.write(PROJECT.id, "project", "1", body)

        assert set() == enabled(await flags_of(client, ASKED))

    async def test_group_properties_of_the_request_win(self, client, world):
        """
        Stored properties are overridden key by key.
        """
        world.catalog.set_flag(PRO)
        world.catalog.set_flag(flag_row("big", flag_id=2, test={"key": "size", "value": "9"}))
        world.view.set_group("company", "acme", plan="free", size=9)

        answer = await flags_of(client, {**ACME, "group_properties": {"company": {"plan": "pro"}}})

        assert {"pro", "big"} == enabled(answer)

    async def test_group_key_cannot_be_overridden(self, client, world):
        """
        `$group_key` is the key that the request names, whatever its properties claim.
        """
        world.catalog.set_flag(flag_row("one", test={"key": "$group_key", "value": "acme"}))

        lie = {"group_properties": {"company": {"$group_key": "other"}}}

        assert {"one"} == enabled(await flags_of(client, {**ACME, **lie}))

    async def test_change_of_a_group_is_in_the_next_answer(self, client, world):
        """
        Nothing kept ready outlives the state or the definition it was made of.
        """
        world.catalog.set_flag(PRO)
        seen = []
        for plan in ("pro", "free", "pro"):
            world.view.set_group("company", "acme", plan=plan)
            seen.append("pro" in enabled(await flags_of(client, ACME)))
        world.catalog.set_flag({**PRO, "active": False})

        assert [True, False, True] == seen
        assert {} == (await flags_of(client, ACME))["flags"]

    @pytest.mark.parametrize(
        ("stored", "named", "is_on"),
        [("pro", "pro", True), (True, 1, False), (1, True, True), (1.0, 1, False)],
    )
    async def test_named_value_is_not_mistaken_for_a_like_one(
        self, client, world, stored, named, is_on
    ):
        """
        What a request names is judged as named, even where Python finds it equal to the stored.
        """
        texts = ["pro", "true"]
        world.catalog.set_flag(flag_row("like", test={"key": "plan", "value": texts}))
        world.view.set_group("company", "acme", plan=stored)
        await flags_of(client, ACME)

        answer = await flags_of(client, {**ACME, "group_properties": {"company": {"plan": named}}})

        assert is_on == ("like" in enabled(answer))

    async def test_what_is_ready_is_what_would_be_evaluated(self, client, world):
        """
        Flags answered from what is ready, asked for by name, or in an older shape, agree.
        """
        world.catalog.set_flag(flag_row("person", flag_id=1, group=False))
        world.catalog.set_flag({**PRO, "id": 2})
        world.catalog.set_flag(
            flag_row("project", flag_id=3)
            | {"filters": {"groups": [{}], "aggregation_group_type_index": 1}}
        )
        world.view.set_group("company", "acme", plan="pro")
        keys = ["person", "pro", "project"]

        for groups in ({}, {"company": "acme"}, {"company": "acme", "project": "p"}):
            asked = {**ASKED, "groups": groups}
            ready = await flags_of(client, asked)
            named = await flags_of(client, {**asked, "flag_keys": keys})
            legacy = await flags_of(client, asked, "v=1")

            assert ready["flags"] == named["flags"]
            assert {key: key in enabled(ready) for key in keys} == legacy["featureFlags"]

    @pytest.mark.parametrize("query", ["v=1", "v=2"])
    async def test_flag_that_cannot_be_read(self, client, world, query):
        """
        A broken definition fails alone, and the answer says that something failed.
        """
        world.catalog.set_flag(flag_row("fine", group=False))
        world.catalog.set_flag(flag_row("broken", flag_id=2) | {"filters": {"groups": "?"}})

        answer = await flags_of(client, ASKED, query)

        assert answer["errorsWhileComputingFlags"]
        assert {"fine", "broken"} == set(answer.get("flags", answer.get("featureFlags")))


def person_flag(key: str, test: Any, where: str, world: Any):
    """A flag about what *test* says of a person, itself or by a cohort, of persons or of groups."""
    if where == "condition":
        return flag_row(key, group=False, test=test)
    leaf = {"operator": "exact", "type": "person", **test}
    rules = {"properties": {"type": "AND", "values": [leaf]}}
    world.catalog.write(PROJECT.id, "cohort", "7", {"id": 7, "name": "those", "filters": rules})
    member = {"key": "id", "type": "cohort", "operator": "in", "value": 7}
    return flag_row(key, group=where == "cohort of a group flag", test=member)


class TestPersons:
    @pytest.mark.parametrize("where", ["condition", "cohort", "cohort of a group flag"])
    @pytest.mark.parametrize(
        "case",
        [
            ({"plan": "pro"}, {}, {"key": "plan", "value": "pro"}, True),
            ({"plan": "pro"}, {"plan": "free"}, {"key": "plan", "value": "pro"}, False),
            ({"plan": "pro"}, {"plan": None}, {"key": "plan", "value": "pro"}, False),
            ({"plan": "pro"}, {"city": "Oslo"}, {"key": "plan", "value": "pro"}, True),
            ({"plan": "pro"}, {"city": "Oslo"}, {"key": "city", "value": "Oslo"}, True),
            ({}, {"plan": "pro"}, {"key": "plan", "value": "pro"}, True),
            (None, {"plan": "pro"}, {"key": "plan", "value": "pro"}, True),
            ({}, {}, {"key": "plan", "value": "pro"}, False),
            ({}, {}, {"key": "distinct_id", "value": "anna"}, True),
            (None, {}, {"key": "distinct_id", "value": "anna"}, True),
            ({}, {"distinct_id": "bob"}, {"key": "distinct_id", "value": "anna"}, True),
            ({}, {}, {"key": "distinct_id", "value": "bob"}, False),
            ({"$os": "X"}, {}, {"key": "$initial_os", "value": "X"}, True),
            ({}, {"$os": "X"}, {"key": "$initial_os", "value": "X"}, True),
            ({"$os": "X"}, {"$os": "Y"}, {"key": "$initial_os", "value": "Y"}, True),
            ({"$initial_os": "X"}, {"$os": "Y"}, {"key": "$initial_os", "value": "X"}, True),
            ({"$os": "X"}, {"$initial_os": "Y"}, {"key": "$initial_os", "value": "Y"}, True),
            ({"utm_source": "a"}, {}, {"key": "$initial_utm_source", "value": "a"}, True),
            ({"plan": "X"}, {}, {"key": "$initial_plan", "value": "X"}, False),
        ],
        ids=str,
    )
    async def test_properties(self, client, world, where, case):
        """
        Whatever looks at a person sees what is stored and, before it name by name, what the
        request says; the distinct id; and today's properties where those of the first visit are
        unknown.
        """
        stored, named, test, is_on = case
        world.catalog.set_flag(person_flag("f", test, where, world))
        if stored is not None:
            world.view.set_person("anna", **stored)
        asked = {**ACME, "person_properties": named}

        answer, legacy = await flags_of(client, asked), await flags_of(client, asked, "v=1")

        assert {"f": is_on} == legacy["featureFlags"]
        assert is_on is ("f" in enabled(answer))

    async def test_every_id_of_a_person(self, client, world):
        """
        What is stored of a person counts under each of its ids; the distinct id is the one asked.
        """
        tests = {
            "pro": {"key": "plan", "value": "pro"},
            "me": {"key": "distinct_id", "value": "anna"},
        }
        for number, (key, test) in enumerate(tests.items(), 1):
            world.catalog.set_flag(flag_row(key, flag_id=number, group=False, test=test))
        world.view.set_person("anna", distinct_ids=["anon-1"], plan="pro")

        assert {"pro", "me"} == enabled(await flags_of(client, ASKED))
        assert {"pro"} == enabled(await flags_of(client, {**ASKED, "distinct_id": "anon-1"}))


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            {"api_key": PROJECT.token, "distinct_id": "u"},
            {"$token": PROJECT.token, "$distinct_id": "u"},
            {"token": PROJECT.token, "distinct_id": 5},
            {"token": PROJECT.token, "distinct_id": ""},
            {"token": PROJECT.token, "distinct_id": "x" * 300, "device_id": None, "groups": None},
        ],
    )
    async def test_spellings(self, client, body):
        """
        Every spelling of token and distinct id is read.
        """
        assert {} == (await flags_of(client, body))["flags"]

    async def test_the_same_body_with_other_labels(self, client):
        """
        What was read before is read again only where all that it was read by is the same.
        """
        body = json.dumps({"distinct_id": "u"}).encode()
        stream = zlib.compress(json.dumps(ASKED).encode(), wbits=-15)
        asked = [
            (body, f"token={PROJECT.token}", {}, 200),
            (body, "token=unknown", {}, 401),
            (body, "", {}, 401),
            (body, f"token={PROJECT.token}", {}, 200),
            (stream, "", {"Content-Encoding": "deflate"}, 200),
            (stream, "", {}, 400),
            (stream, "compression=deflate", {}, 200),
        ]
        for raw, query, headers, status in asked * 2:
            response = await client.post(f"/flags/?v=2&{query}", data=raw, headers=headers)
            assert status == response.status, (query, headers, await response.text())

    async def test_repeated_and_unknown_parameters(self, client):
        """
        Parameters that mean nothing here do no harm.
        """
        await flags_of(client, ASKED, "v=2&v=3&ip=0&_=1764000000000&ver=1.449&x")

    @pytest.mark.parametrize(
        ("query", "body", "status", "code"),
        [
            ("v=2", b"{", 400, "invalid_input"),
            ("v=2", b"", 400, "invalid_input"),
            ("v=2", b"[]", 400, "invalid_input"),
            ("v=2", b"\x1f\x8bnot gzip", 400, "invalid_input"),
            ("v=2", b'{"token":"phc_one"}', 400, None),
            ("v=2", b'{"distinct_id":"u"}', 401, None),
            ("v=2", b'{"token":"phc_nobody","distinct_id":"u"}', 401, "authentication_failed"),
            ("v=2", b'{"token":' + b"[" * 65 + b"]" * 65 + b"}", 400, None),
            ("v=x", b'{"token":"phc_one","distinct_id":"u"}', 400, "invalid_input"),
            ("v=0", b'{"token":"phc_one","distinct_id":"u"}', 400, "invalid_input"),
        ],
    )
    async def test_refusals(self, client, query, body, status, code):
        """
        What cannot be answered is refused with the one error shape.
        """
        response = await client.post(f"/flags/?{query}", data=body)
        answer = await response.json()

        assert status == response.status
        assert ["type", "code", "detail", "attr"] == list(answer)
        assert code in (None, answer["code"])

    async def test_too_large(self, client, world):
        """
        A body beyond the limit, as sent or inflated, is refused with 413.
        """
        bomb = gzip.compress(b" " * (world.settings.max_event_body_bytes + 1))

        assert 413 == (await client.post("/flags/?v=2", data=bomb)).status

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(raw=st.binary(max_size=200))
    async def test_no_bytes_break_it(self, client, raw):
        """
        Whatever bytes come, the answer is a 4xx, never a 5xx.
        """
        response = await client.post("/flags/?v=2", data=raw)

        assert 400 <= response.status < 500

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        members=st.dictionaries(
            st.sampled_from(
                [
                    *("distinct_id", "groups", "person_properties", "group_properties"),
                    *("flag_keys", "$device_id", "$session_id", "disable_flags"),
                    "evaluation_contexts",
                ]
            ),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=8,
            ),
        )
    )
    async def test_no_members_break_it(self, client, world, members):
        """
        Whatever the members hold, the answer is 200 or a 4xx.
        """
        world.catalog.set_flag(PRO)
        world.catalog.set_flag(flag_row("p", flag_id=2, group=False, test={"key": "a", "value": 1}))
        body = json.dumps({"distinct_id": "u", **members, "token": PROJECT.token})

        response = await client.post("/flags/?v=2", data=body)

        assert response.status < 500, await response.text()


class TestPrivacy:
    async def test_answers_hold_no_group_key_and_no_property(self, client, world):
        """
        The public token never sees remembered keys or stored properties.
        """
        world.catalog.set_flag(flag_row("on"))
        world.catalog.set_flag(flag_row("off", flag_id=2, test={"key": "plan", "value": "other"}))
        world.view.set_group("company", "secret-company", plan="secret-plan")
        world.view.set_person("anna", mail="secret-mail")
        world.view.active[PROJECT.id, "anna"] = {"company": "secret-company"}

        for path in ("/flags/?v=2", "/flags/?v=1", "/decide/?v=1", "/decide/?v=3", "/decide/?v=4"):
            assert "secret" not in await (await client.post(path, json=ASKED)).text()

    @pytest.mark.parametrize(
        "path",
        [
            "/flags/definitions?token=phc_one",
            "/api/feature_flag/local_evaluation/?token=phc_one",
            "/api/projects/@current/",
            "/api/projects/@current/feature_flags/",
            "/api/projects/1/groups/?group_type_index=0",
            "/api/projects/1/groups/find?group_type_index=0&group_key=acme",
            "/api/projects/1/groups_types/",
            "/api/projects/1/dead_letters/",
            "/api/projects/1/ingestion_warnings/",
        ],
    )
    @pytest.mark.parametrize("key", ["phc_one", "phs_unknown", "", OTHER_PROJECT.token])
    async def test_public_token_is_no_key(self, client, path, key):
        """
        Nothing but flags and configuration is read without the secret key.
        """
        response = await client.get(path, headers={"Authorization": f"Bearer {key}"})
        answer = await response.json()

        assert 401 == response.status
        assert "authentication_error" == answer["type"]

    async def test_other_projects_flags_are_apart(self, client, world):
        """
        A token sees its own project's flags.
        """
        world.catalog.set_flag(flag_row("on", group=False))

        assert {} == (await flags_of(client, {**ASKED, "token": OTHER_PROJECT.token}))["flags"]


PERSON_HALF = flag_row(
    "half", group=False, bucketing="sha1", filters={"groups": [{"rollout_percentage": 50}]}
)
# By sha1 of "half.<id>": the first is inside of 50 %, the second outside.
INSIDE, OUTSIDE = "user-0", "user-2"


class TestContinuity:
    @pytest.fixture
    def flag(self, world):
        world.catalog.set_flag({**PERSON_HALF, "ensure_experience_continuity": True})

    async def is_on(self, client, distinct_id, **members):
        answer = await flags_of(client, {**ASKED, "distinct_id": distinct_id, **members})
        return answer["flags"]["half"]["enabled"]

    async def test_who_was_identified_stays(self, client, world, flag):
        """
        A person is on the side of who they were before, and that is durable with the answer.
        """
        before, after = (
            await self.is_on(client, OUTSIDE),
            await self.is_on(client, OUTSIDE, **{"$anon_distinct_id": INSIDE}),
        )

        assert (False, True) == (before, after)
        (append,) = world.log.appended
        update = PersonUpdate.from_bytes(append.value)
        assert ({"half": INSIDE}, [PROJECT.id, OUTSIDE]) == (
            update.hash_keys,
            key_parts(append.key),
        )

    async def test_the_first_stays(self, client, world, flag):
        """
        What is stored goes before what a request says, and nothing is written then.
        """
        world.view.set_person("anna", hash_keys={"half": INSIDE})

        assert await self.is_on(client, "anna", **{"$anon_distinct_id": OUTSIDE})
        assert [] == world.log.appended

    async def test_only_flags_with_continuity(self, client, world):
        """
        Other flags hash the distinct id, and nothing is kept for them.
        """
        world.catalog.set_flag(PERSON_HALF)

        assert not await self.is_on(client, OUTSIDE, **{"$anon_distinct_id": INSIDE})
        assert [] == world.log.appended

    async def test_a_log_that_takes_nothing(self, client, world, flag):
        """
        What cannot be kept is not answered either, so that the browser asks again.
        """
        world.log.is_down = True
        body = {**ASKED, "distinct_id": OUTSIDE, "$anon_distinct_id": INSIDE}

        response = await client.post("/flags/?v=2", json=body)

        assert (503, "1") == (response.status, response.headers["Retry-After"])


class TestAudience:
    @pytest.fixture(autouse=True)
    def flags(self, world):
        for runtime in ("all", "server", "client"):
            world.catalog.set_flag(flag_row(runtime, group=False, evaluation_runtime=runtime))
        world.catalog.set_flag(flag_row("app", group=False, evaluation_contexts=["app", "web"]))

    @pytest.mark.parametrize(
        ("headers", "members", "seen"),
        [
            ({"User-Agent": "posthog-python/7.91.1"}, {}, {"server"}),
            ({"User-Agent": "posthog-node/5.70.0"}, {}, {"server"}),
            ({"User-Agent": "curl/8.1"}, {}, {"server"}),
            ({"User-Agent": "node", "Sec-Fetch-Mode": "cors"}, {}, {"server"}),
            ({"User-Agent": "Mozilla/5.0 (X11)"}, {}, {"client"}),
            ({"User-Agent": "posthog-ios/3.1"}, {}, {"client"}),
            ({"User-Agent": "odd", "Origin": "http://x"}, {}, {"client"}),
            ({"User-Agent": "odd", "Sec-Fetch-Mode": "cors"}, {}, {"client"}),
            ({"User-Agent": "odd"}, {}, set()),
            ({"User-Agent": "Mozilla/5.0"}, {"evaluation_runtime": "server"}, {"server"}),
            ({}, {"evaluation_runtime": "all"}, {"server", "client"}),
            ({}, {"evaluation_runtime": "toaster"}, set()),
        ],
    )
    async def test_runtimes(self, client, headers, members, seen):
        """
        A flag of servers or of clients is for requests that come from one.
        """
        answer = await flags_of(client, {**ASKED, **members}, **headers)

        assert {"all", "app"} | seen == answer["flags"].keys()

    @pytest.mark.parametrize(
        ("contexts", "is_seen"),
        [([], True), (["app"], True), (["x", "web"], True), (["x"], False), (["APP"], False)],
    )
    async def test_contexts(self, client, contexts, is_seen):
        """
        A request that names contexts sees the flags of one of them, and those of none.
        """
        answer = await flags_of(client, {**ASKED, "evaluation_contexts": contexts})

        assert is_seen is ("app" in answer["flags"])
        assert "all" in answer["flags"]


class TestQuota:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("/flags/?v=2", {"flags": {}}),
            ("/flags/?v=1", {"featureFlags": {}, "featureFlagPayloads": {}}),
            ("/decide/?v=1", {"featureFlags": []}),
            ("/decide/?v=2", {"featureFlags": {}}),
            ("/decide/?v=3", {"featureFlags": {}, "featureFlagPayloads": {}}),
            ("/decide/?v=4", {"flags": {}}),
        ],
    )
    async def test_nothing_is_evaluated(self, client, world, path, expected):
        """
        A project over its quota gets no flags, in the shape asked for, and is told why, with 200.
        """
        world.catalog.set_flag(flag_row("on", group=False))
        world.catalog.write(PROJECT.id, "project", "1", {"is_quota_limited": True})

        response = await client.post(path, json=ASKED)
        answer = await response.json()

        assert (200, ["feature_flags"]) == (response.status, answer["quotaLimited"])
        names = ("flags", "featureFlags", "featureFlagPayloads")
        assert expected == {name: answer[name] for name in names if name in answer}


class TestUnreadableState:
    async def failed(self, client, **members):
        answer = await flags_of(client, {**ASKED, **members})
        assert answer["errorsWhileComputingFlags"] is any(
            "failed" in flag for flag in answer["flags"].values()
        )
        return {key for key, flag in answer["flags"].items() if "failed" in flag}

    async def test_only_what_needs_it_fails(self, client, world):
        """
        While the state cannot be read, flags that need it fail, and the others are answered.
        """
        rows = [
            flag_row("anybody", group=False),
            flag_row(
                "half", flag_id=2, group=False, filters={"groups": [{"rollout_percentage": 50}]}
            ),
            flag_row("person", flag_id=3, group=False, test={"key": "role", "value": "admin"}),
            flag_row("company", flag_id=4),
            PRO | {"id": 5},
            flag_row("project", flag_id=6, filters={"aggregation_group_type_index": 1}),
        ]
        for row in rows:
            world.catalog.set_flag(row)
        world.view.is_down = True

        bare = await self.failed(client)
        named = await self.failed(client, groups={"company": "acme"})
        given = await self.failed(
            client,
            groups={"company": "acme", "project": "p"},
            group_properties={"company": {"plan": "pro"}},
            person_properties={"role": "admin"},
        )

        assert {"person", "company", "pro", "project"} == bare
        assert {"person", "pro", "project"} == named
        assert set() == given

    async def test_reason(self, client, world):
        """
        A flag that could not be judged says why, and is off.
        """
        world.catalog.set_flag(PRO)
        world.view.is_down = True

        answer = await flags_of(client, ACME)

        assert ("database_error", False) == (
            answer["flags"]["pro"]["reason"]["code"],
            answer["flags"]["pro"]["enabled"],
        )


class TestCohorts:
    async def test_static_cohort_knows_all_ids_of_a_person(self, client, world):
        """
        Whoever was listed under one id is a member under every id of theirs.
        """
        world.catalog.write(
            PROJECT.id,
            "cohort",
            "9",
            {"id": 9, "name": "pilots", "is_static": True, "members": ["anon-1"]},
        )
        test = {"key": "id", "type": "cohort", "operator": "in", "value": 9}
        world.catalog.set_flag(flag_row("pilot", group=False, test=test))
        world.view.set_person("anna", distinct_ids=["anon-1"])

        answers = [
            await flags_of(client, {**ASKED, "distinct_id": each}) for each in ("anna", "bob")
        ]

        assert [{"pilot"}, set()] == list(map(enabled, answers))

    async def test_a_cohort_that_is_missing_fails_the_flag_alone(self, client, world):
        """
        A flag of groups whose cohort does not exist fails, and the answer says that one did.
        """
        test = {"key": "id", "type": "cohort", "operator": "in", "value": 9}
        world.catalog.set_flag(flag_row("lost", test=test))
        world.catalog.set_flag(flag_row("fine", flag_id=2))

        answer = await flags_of(client, ACME)

        assert answer["errorsWhileComputingFlags"]
        assert ("dependency_not_found", True) == (
            answer["flags"]["lost"]["reason"]["code"],
            answer["flags"]["lost"]["failed"],
        )
        assert {"fine"} == enabled(answer)
