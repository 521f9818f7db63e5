"""Feature flags over the API."""

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.views import PROJECT

from .asking import AUTH, get

FLAGS = "/api/projects/@current/feature_flags/"
FILTERS = {"groups": [{"properties": [], "rollout_percentage": 50}]}


async def create(client, expected=201, **body):
    response = await client.post(FLAGS, json=body, headers=AUTH)
    assert expected == response.status, await response.text()
    return await response.json()


async def patch(client, flag_id, expected=200, **body):
    response = await client.patch(f"{FLAGS}{flag_id}/", json=body, headers=AUTH)
    assert expected == response.status, await response.text()
    return await response.json()


class TestCreate:
    async def test_row(self, client):
        """
        A new flag has an id, the first version, defaults, and the project's bucketing.
        """
        flag = await create(client, key="new", name="About it", filters=FILTERS, tags=["a"])

        assert (1, 1, "new", "About it") == tuple(
            flag[name] for name in ("id", "version", "key", "name")
        )
        assert FILTERS == flag["filters"]
        assert ("murmur3", True, False, "ACTIVE") == tuple(
            flag[name] for name in ("bucketing", "active", "deleted", "status")
        )
        assert "2025-11-24T16:00:00Z" == flag["created_at"] == flag["updated_at"]

    async def test_ids_grow(self, client):
        """
        No id is given twice, not even that of a deleted flag.
        """
        first = await create(client, key="a")
        second = await create(client, key="b")
        await patch(client, second["id"], deleted=True)

        assert [1, 2, 3] == [first["id"], second["id"], (await create(client, key="c"))["id"]]

    async def test_at_the_same_time(self, client):
        """
        Flags that are created at the same time get ids of their own.
        """
        flags = await asyncio.gather(*(create(client, key=f"k{number}") for number in range(10)))

        assert set(range(1, 11)) == {flag["id"] for flag in flags}

    async def test_is_answered_at_once(self, client):
        """
        Once created, a flag is in the next flag answer.
        """
        await create(client, key="all", filters={"groups": [{"rollout_percentage": 100}]})

        asked = {"token": PROJECT.token, "distinct_id": "u"}
        answer = await (await client.post("/flags/?v=2", json=asked)).json()
        assert answer["flags"]["all"]["enabled"]

    async def test_imported_flag_keeps_its_bucketing(self, client):
        """
        A flag may say which hash it uses.
        """
        assert "sha1" == (await create(client, key="old", bucketing="sha1"))["bucketing"]

    async def test_payloads_become_texts(self, client):
        """
        Payloads are stored as the JSON texts that clients expect.
        """
        filters = {**FILTERS, "payloads": {"true": {"a": 1}}}

        assert {"true": '{"a":1}'} == (await create(client, key="p", filters=filters))["filters"][
            "payloads"
        ]

    async def test_archived(self, client):
        """
        A flag that is archived is not active.
        """
        error = await create(client, expected=400, key="old", archived=True)
        flag = await create(client, key="old", archived=True, active=False)

        assert "$.active" == error["attr"]
        assert (True, False) == (flag["archived"], flag["active"])
        assert "$.active" == (await patch(client, flag["id"], 400, active=True))["attr"]
        restored = await patch(client, flag["id"], active=True, archived=False)
        assert (False, True) == (restored["archived"], restored["active"])
        assert "$.active" == (await patch(client, flag["id"], 400, archived=True))["attr"]

    async def test_shorthand(self, client):
        """
        A bare rollout percentage becomes the one condition that it means.
        """
        flag = await create(client, key="t", rollout_percentage=30)

        assert 30 == flag["filters"]["groups"][0]["rollout_percentage"]

    @pytest.mark.parametrize(
        ("body", "code", "attr"),
        [
            ({}, "required", "key"),
            ({"key": "no spaces"}, "invalid_key", "key"),
            ({"key": ""}, "invalid_key", "key"),
            ({"key": "x" * 401}, "invalid_key", "key"),
            ({"key": "taken"}, "unique", "key"),
            ({"key": 5}, "invalid_definition", "$.key"),
            ({"key": "a", "active": "true"}, "invalid_definition", "$.active"),
            ({"key": "a", "colour": 1}, "invalid_definition", "$.colour"),
            ({"key": "a", "tags": [1]}, "invalid_definition", "$.tags[0]"),
            (
                {"key": "a", "filters": {"version": 2}},
                "reserved_config_version",
                "filters.version",
            ),
            ({"key": "a", "filters": {"groups": {}}}, "invalid_definition", "$.filters.groups"),
            (
                {"key": "a", "filters": {"groups": [{"rollout_percentage": 101}]}},
                "invalid_definition",
                "$.filters.groups[0].rollout_percentage",
            ),
            ({"key": "a", "bucketing": "md5"}, "invalid_definition", "$.bucketing"),
        ],
    )
    async def test_refusals(self, client, world, body, code, attr):
        """
        A wrong definition is refused with the member's name, and nothing of it is stored.
        """
        await create(client, key="taken")
        error = await create(client, expected=400, **body)

        assert ("validation_error", code, attr) == (error["type"], error["code"], error["attr"])
        assert 1 == len(world.log.definitions)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        body=st.dictionaries(
            st.sampled_from(["key", "filters", "active", "tags", "bucketing", "version", "x"]),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
                lambda inner: (
                    st.lists(inner)
                    | st.dictionaries(
                        st.sampled_from(
                            ["groups", "properties", "multivariate", "payloads", "key"]
                        ),
                        inner,
                    )
                ),
                max_leaves=10,
            ),
        )
    )
    async def test_no_body_breaks_it(self, client, body):
        """
        Whatever is sent, the flag is created or refused with a 4xx.
        """
        response = await client.post(FLAGS, data=json.dumps(body), headers=AUTH)

        assert response.status < 500, await response.text()


class TestRead:
    async def test_get(self, client):
        """
        A flag is read by its id, also through its project's number and its environment.
        """
        flag = await create(client, key="a")

        for root in ("projects/@current", "projects/1", "environments/1"):
            assert flag == await get(client, f"/api/{root}/feature_flags/{flag['id']}")

    @pytest.mark.parametrize("flag_id", ["9", "x", "-1", "9" * 30, "%ff"])
    async def test_unknown(self, client, flag_id):
        """
        What names no flag is not found.
        """
        error = await get(client, f"{FLAGS}{flag_id}/", expected=404)

        assert "not_found" == error["code"]

    async def test_list(self, client):
        """
        The list pages by limit and offset, newest first, and leaves deleted flags out.
        """
        for key in ("a", "b", "c", "gone"):
            await create(client, key=key)
        await patch(client, 4, deleted=True)

        first = await get(client, f"{FLAGS}?limit=2")
        second = await get(client, first["next"])

        assert 3 == first["count"] == second["count"]
        assert ["c", "b"] == [flag["key"] for flag in first["results"]]
        assert ["a"] == [flag["key"] for flag in second["results"]]
        assert (None, None) == (first["previous"], second["next"])
        assert first["results"] == (await get(client, second["previous"]))["results"]

    async def test_filters(self, client):
        """
        The list narrows by a part of key or name, by state, and by kind.
        """
        variants = [{"key": "a", "rollout_percentage": 100}]
        await create(client, key="alpha", name="One", tags=["x", "y"])
        await create(client, key="gamma", filters={"multivariate": {"variants": variants}})
        await create(client, key="delta", active=False, archived=True, is_remote_configuration=True)
        await create(
            client, key="beta", name="Two", active=False, tags=["x"], evaluation_runtime="server"
        )
        expected = {
            "search=LPH": ["alpha"],
            "search=two": ["beta"],
            "active=true": ["gamma", "alpha"],
            "active=false": ["beta", "delta"],
            "archived=true": ["delta"],
            "archived=false": ["beta", "gamma", "alpha"],
            "type=boolean": ["beta", "delta", "alpha"],
            "type=multivariant": ["gamma"],
            "type=experiment": [],
            "type=remote_config": ["delta"],
            "evaluation_runtime=server": ["beta"],
            "tags=x": ["beta", "alpha"],
            "tags=x,y": ["alpha"],
            'tags=["x","y"]': ["alpha"],
            "tags=": ["beta", "delta", "gamma", "alpha"],
        }

        found = {}
        for query in expected:
            results = (await get(client, f"{FLAGS}?{query}"))["results"]
            found[query] = [flag["key"] for flag in results]
        assert expected == found

    async def test_filters_where_nothing_is(self, client):
        """
        A flag whose tags are null has none.
        """
        await create(client, key="alpha", tags=None)

        assert [1, 0] == [
            (await get(client, f"{FLAGS}?{query}"))["count"] for query in ("", "tags=x")
        ]

    @pytest.mark.parametrize(
        "query",
        [
            *("limit=0", "limit=x", "limit=9999", "offset=-1", "active=2", "tags=[5]", "tags=["),
            *("archived=x", "type=any", "evaluation_runtime=edge"),
        ],
    )
    async def test_bad_pages(self, client, query):
        """
        A page that cannot be is refused by name.
        """
        error = await get(client, f"{FLAGS}?{query}", expected=400)

        assert query.partition("=")[0] == error["attr"]


class TestOne:
    async def test_status(self, client):
        """
        Whether a flag is evaluated is told with the reason.
        """
        flag = await create(client, key="a")
        path = f"{FLAGS}{flag['id']}/status/"

        statuses = [(await get(client, path))["status"]]
        for change in ({"active": False}, {"deleted": True}):
            await patch(client, flag["id"], **change)
            statuses.append((await get(client, path))["status"])

        assert ["ACTIVE", "INACTIVE", "DELETED"] == statuses
        await get(client, f"{FLAGS}99/status/", expected=404)

    async def test_dependent_flags(self, client):
        """
        Who depends on a flag is listed, unless it is deleted.
        """
        flag = await create(client, key="a")
        test = {
            "type": "flag",
            "key": str(flag["id"]),
            "operator": "flag_evaluates_to",
            "value": True,
        }
        filters = {"groups": [{"properties": [test]}]}
        first = await create(client, key="b", filters=filters)
        second = await create(client, key="c", filters=filters)
        await patch(client, second["id"], deleted=True)

        listed = await get(client, f"{FLAGS}{flag['id']}/dependent_flags/")

        assert [{"id": first["id"], "key": "b", "name": ""}] == listed

    @pytest.mark.parametrize("method", ["DELETE", "POST"])
    async def test_not_allowed(self, client, method):
        """
        A flag is deleted by a change, as in PostHog.
        """
        flag = await create(client, key="a")

        response = await client.request(method, f"{FLAGS}{flag['id']}/", headers=AUTH)

        assert 405 == response.status


class TestUpdate:
    async def test_members(self, client):
        """
        Only what is named changes, and the version counts the writes.
        """
        flag = await create(client, key="a", name="Old", filters=FILTERS)
        changed = await patch(client, flag["id"], name="New", active=False)

        assert {
            **flag,
            "name": "New",
            "active": False,
            "version": 2,
            "status": "INACTIVE",
        } == changed

    async def test_answer_can_be_sent_back(self, client):
        """
        What was read can be written as it is.
        """
        flag = await create(client, key="a", filters=FILTERS)

        assert 2 == (await patch(client, flag["id"], **flag))["version"]

    async def test_filters_merge(self, client):
        """
        A given member of the filters replaces the stored one, `{}` keeps targeting.
        """
        flag = await create(client, key="a", filters={**FILTERS, "payloads": {"true": "1"}})
        kept = await patch(client, flag["id"], filters={})
        changed = await patch(client, flag["id"], filters={"groups": []})

        assert flag["filters"] == kept["filters"]
        assert {"groups": [], "payloads": {"true": "1"}} == changed["filters"]

    async def test_version_locks(self, client):
        """
        A write on top of an old version is refused.
        """
        flag = await create(client, key="a")
        await patch(client, flag["id"], version=1, name="First")
        error = await patch(client, flag["id"], expected=409, version=1, name="Second")

        assert "conflict" == error["code"]

    async def test_deleted_by_patch(self, client):
        """
        DELETE is not allowed; a patch deletes, and frees the key.
        """
        flag = await create(client, key="a")
        response = await client.delete(f"{FLAGS}{flag['id']}/", headers=AUTH)
        gone = await patch(client, flag["id"], key="a", deleted=True)

        assert 405 == response.status
        assert ("DELETED", True) == (gone["status"], gone["deleted"])
        assert (await get(client, f"{FLAGS}{flag['id']}/"))["deleted"]
        assert 2 == (await create(client, key="a"))["id"]

    async def test_key_stays(self, client):
        """
        A flag keeps its key for life.
        """
        flag = await create(client, key="a")

        assert "immutable" == (await patch(client, flag["id"], expected=400, key="b"))["code"]

    async def test_unknown(self, client):
        """
        What is not there cannot be changed.
        """
        await patch(client, 7, expected=404, name="x")


class TestLog:
    async def test_down(self, client, world):
        """
        While the log takes no writes, nothing is changed and the client may come back.
        """
        world.log.is_down = True
        response = await client.post(FLAGS, json={"key": "a"}, headers=AUTH)

        assert (503, "1") == (response.status, response.headers["Retry-After"])
        assert 0 == (await get(client, FLAGS))["count"]

    async def test_lagging(self, client, world):
        """
        A change waits for the one before it: on an unseen base nothing is written.
        """
        world.log.is_lagging = True
        await create(client, key="a")
        response = await client.post(FLAGS, json={"key": "b"}, headers=AUTH)

        assert 503 == response.status
        assert 1 == len(world.log.definitions)


class TestUnreadableFlags:
    async def test_problems(self, client, world):
        """
        A stored flag that cannot be read says what is wrong with it; others say nothing.
        """
        await create(client, key="good")
        row = {"id": 2, "key": "odd", "name": "", "active": True, "deleted": False}
        world.catalog.set_flag({**row, "filters": {"groups": [{"rollout_percentage": "5"}]}})

        good, odd = [await get(client, f"{FLAGS}{flag_id}/") for flag_id in (1, 2)]

        (problem,) = odd["problems"]
        assert problem.startswith("$.filters.groups[0].rollout_percentage: expected a valid number")
        assert "problems" not in good
