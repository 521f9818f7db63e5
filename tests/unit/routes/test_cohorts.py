"""Cohorts over the API."""

import pytest

from tests.fakes.views import PROJECT

AUTH = {"Authorization": f"Bearer {PROJECT.secret_key}"}
COHORTS = "/api/projects/@current/cohorts/"
FILTERS = {
    "properties": {
        "type": "OR",
        "values": [{"key": "plan", "type": "person", "operator": "exact", "value": ["gold"]}],
    }
}


async def send(client, method, path, expected=200, body=None, headers=AUTH):
    url = path if path.startswith("/api") else COHORTS + path
    response = await client.request(method, url, json=body, headers=headers)
    assert expected == response.status, await response.text()
    return await response.json()


async def create(client, expected=201, **body):
    body = {"name": "Gold", "filters": FILTERS, **body}
    return await send(client, "POST", "", expected, body)


def static(**body):
    return {"name": "Early", "is_static": True, "filters": {}, "members": ["b", "a"], **body}


class TestCreate:
    async def test_answer(self, client):
        """
        A new cohort is answered with its row, and with what PostHog's answers hold besides.
        """
        cohort = await create(client, id=98)

        assert (98, "Gold", FILTERS, 1) == tuple(
            cohort[name] for name in ("id", "name", "filters", "version")
        )
        assert (None, False, None, []) == tuple(
            cohort[name] for name in ("count", "is_calculating", "created_by", "groups")
        )

    async def test_count(self, client):
        """
        A static cohort is answered with the number of its members, without naming them.
        """
        cohort = await create(client, **static())

        assert 2 == cohort["count"]
        assert "members" not in cohort

    async def test_refusal(self, client, world):
        """
        A wrong definition is refused with its JSON path, and nothing of it is stored.
        """
        error = await create(client, expected=400, name="", colour="red")

        assert ("validation_error", "invalid_definition") == (error["type"], error["code"])
        assert error["detail"].startswith("$.colour: expected no member of this name, got 'red'; ")
        assert "$.name: expected a text of 1 to 400 characters" in error["detail"]
        assert [] == world.log.appended

    async def test_at_once_for_flags(self, client):
        """
        Once created, a cohort can be named by flags, and not before.
        """
        test = {"key": "id", "type": "cohort", "value": 5}
        flag = {"key": "f", "filters": {"groups": [{"properties": [test]}]}}

        error = await send(client, "POST", "/api/projects/1/feature_flags/", 400, flag)
        await create(client, id=5)
        await send(client, "POST", "/api/projects/1/feature_flags/", 201, flag)

        assert "$.filters.groups[0].properties[0].value" == error["attr"]


class TestRead:
    async def test_get(self, client):
        """
        A cohort is read by its id, also through its project's number and its environment.
        """
        cohort = await create(client)

        for root in ("projects/@current", "projects/1", "environments/1"):
            read = await send(client, "GET", f"/api/{root}/cohorts/{cohort['id']}")
            assert {**cohort, "members": []} == read

    async def test_members(self, client):
        """
        Only the answer to a single cohort names its members.
        """
        await create(client, **static())

        (listed,) = (await send(client, "GET", ""))["results"]
        assert ["b", "a"] == (await send(client, "GET", "1/"))["members"]
        assert ("members" in listed, listed["count"]) == (False, 2)

    @pytest.mark.parametrize("cohort_id", ["9", "x", "-1", "9" * 30, "%ff"])
    async def test_unknown(self, client, cohort_id):
        """
        What names no cohort is not found.
        """
        error = await send(client, "GET", f"{cohort_id}/", expected=404)

        assert "not_found" == error["code"]

    async def test_list(self, client):
        """
        The list pages by limit and offset and leaves deleted cohorts out.
        """
        for name in ("a", "b", "c", "gone"):
            await create(client, name=name)
        await send(client, "PATCH", "4/", body={"deleted": True})

        first = await send(client, "GET", "?limit=2")
        second = await send(
            client, "GET", first["next"].removeprefix(str(client.make_url("/"))[:-1])
        )

        assert (3, None) == (first["count"], first["previous"])
        assert (3, None) == (second["count"], second["next"])
        assert [["c", "b"], ["a"]] == [
            [cohort["name"] for cohort in page["results"]] for page in (first, second)
        ]

    async def test_newest_first(self, client, world):
        """
        The list begins with what was created last, whichever id it has.
        """
        cohort = await send(client, "GET", f"{(await create(client, id=9))['id']}/")
        for cohort_id, second in [(9, "09.9"), (3, "10"), (5, "10.1")]:
            row = {**cohort, "id": cohort_id, "created_at": f"2025-11-24T16:00:{second}Z"}
            world.catalog.write(PROJECT.id, "cohort", str(cohort_id), row)

        results = (await send(client, "GET", ""))["results"]

        assert [5, 3, 9] == [row["id"] for row in results]

    async def test_search(self, client):
        """
        The list narrows by a part of the name.
        """
        await create(client, name="Gold")
        await create(client, name="Silver")

        (found,) = (await send(client, "GET", "?search=OLD"))["results"]
        assert "Gold" == found["name"]


class TestUpdate:
    @pytest.mark.parametrize("method", ["PATCH", "PUT"])
    async def test_members(self, client, method):
        """
        Only what is named changes, also by a PUT.
        """
        cohort = await create(client)

        changed = await send(client, method, "1/", body={"name": "New"})

        assert {**cohort, "name": "New", "version": 2} == changed

    async def test_answer_can_be_sent_back(self, client):
        """
        What was read can be written as it is.
        """
        await create(client, **static())
        read = await send(client, "GET", "1/")

        await send(client, "PUT", "1/", body=read)

        assert {**read, "version": 2} == await send(client, "GET", "1/")

    async def test_deleted_by_patch(self, client):
        """
        DELETE is not allowed; a patch deletes, and the cohort can still be read.
        """
        await create(client)

        await send(client, "DELETE", "1/", expected=405)
        await send(client, "PATCH", "1/", body={"deleted": True})

        assert (await send(client, "GET", "1/"))["deleted"]
        assert 0 == (await send(client, "GET", ""))["count"]

    @pytest.mark.parametrize(
        ("body", "code"), [({"version": 7}, "conflict"), ({"deleted": True}, "in_use")]
    )
    async def test_conflicts(self, client, body, code):
        """
        What was changed meanwhile, or is in use, is a conflict.
        """
        await create(client)
        named = {"key": "id", "type": "cohort", "value": 1}
        await create(client, filters={"properties": {"type": "AND", "values": [named]}})

        assert code == (await send(client, "PATCH", "1/", 409, body))["code"]


class TestMembers:
    @pytest.mark.parametrize(
        ("method", "action", "body", "members"),
        [
            ("POST", "add_members", {"members": ["c", "a"]}, ["b", "a", "c"]),
            ("POST", "remove_members", {"members": ["b"]}, ["a"]),
            ("POST", "add_persons_to_static_cohort", {"person_ids": ["c"]}, ["b", "a", "c"]),
            ("PATCH", "add_persons_to_static_cohort", {"person_ids": ["c"]}, ["b", "a", "c"]),
        ],
    )
    async def test_changed(self, client, method, action, body, members):
        """
        Members are added and taken out, and the answer counts them.
        """
        await create(client, **static())

        answer = await send(client, method, f"1/{action}", body=body)

        assert (len(members), 2) == (answer["count"], answer["version"])
        assert members == (await send(client, "GET", "1/"))["members"]

    @pytest.mark.parametrize(
        ("action", "body", "attr"),
        [
            ("add_members", {}, "$.members"),
            ("add_members", {"members": "a"}, "$.members"),
            ("remove_members", {"members": ["a", 1]}, "$.members[1]"),
            ("add_persons_to_static_cohort", {"members": ["a"]}, "$.person_ids"),
            ("add_persons_to_static_cohort", {"person_ids": [None]}, "$.person_ids[0]"),
        ],
    )
    async def test_refusals(self, client, action, body, attr):
        """
        What is no list of texts is refused by its JSON path.
        """
        await create(client, **static())

        assert attr == (await send(client, "POST", f"1/{action}/", 400, body))["attr"]

    async def test_not_static(self, client):
        """
        Nobody is added to a cohort whose filters say who is in it.
        """
        await create(client)

        error = await send(client, "POST", "1/add_members/", 400, {"members": ["a"]})

        assert "not_static" == error["code"]


class TestMemberPages:
    async def test_persons(self, client):
        """
        Members of a static cohort come in pages, in the order in which they were added.
        """
        members = [f"user-{number}" for number in range(5, 0, -1)]
        cohort = await create(client, **static(members=members))

        first = await send(client, "GET", f"{cohort['id']}/persons/?limit=3")
        second = await send(client, "GET", first["next"].partition("/cohorts/")[2])

        assert members == [each["id"] for each in first["results"] + second["results"]]
        assert {"type": "person", "id": "user-5", "distinct_ids": ["user-5"]} == first["results"][0]
        assert (5, None) == (first["count"], second["next"])

    async def test_groups(self, client):
        """
        Members of a cohort of groups are their keys.
        """
        cohort = await create(client, **static(group_type_index=1))

        answer = await send(client, "GET", f"{cohort['id']}/persons/")

        assert {
            "type": "group",
            "id": "b",
            "group_type_index": 1,
            "group_key": "b",
        } == answer["results"][0]

    async def test_refusals(self, client):
        """
        Who is in a cohort by its rules is not listed, nor a page that cannot be.
        """
        by_rules = await create(client)
        listed = await create(client, **static())

        assert (
            "not_static" == (await send(client, "GET", f"{by_rules['id']}/persons/", 400))["code"]
        )
        error = await send(client, "GET", f"{listed['id']}/persons/?limit=0", 400)
        assert "limit" == error["attr"]
        await send(client, "GET", "77/persons/", 404)


class TestKeys:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", ""),
            ("POST", ""),
            ("GET", "1/"),
            ("GET", "1/persons/"),
            ("PATCH", "1/"),
            ("PUT", "1/"),
            ("POST", "1/add_members/"),
            ("POST", "1/remove_members/"),
            ("POST", "1/add_persons_to_static_cohort/"),
        ],
    )
    @pytest.mark.parametrize("key", [None, PROJECT.token, "phs_other"])
    async def test_secret_key_only(self, client, method, path, key):
        """
        Cohorts are for the holder of the secret key: the public token opens none of them.
        """
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}

        await send(client, method, path, 401, {}, headers)

    async def test_other_project(self, client):
        """
        A key opens its own project only.
        """
        await send(client, "GET", "/api/projects/2/cohorts/", 404)
