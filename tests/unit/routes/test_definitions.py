"""The document for local evaluation."""

import pytest

from tests.fakes.views import OTHER_PROJECT, PROJECT

AUTH = {"Authorization": f"Bearer {PROJECT.secret_key}"}
PATH = f"/flags/definitions?token={PROJECT.token}&send_cohorts"
FLAG = {
    "id": 1,
    "key": "a",
    "name": "",
    "filters": {"groups": [{"properties": [], "rollout_percentage": 100}]},
    "active": True,
    "deleted": False,
    "version": 1,
    "bucketing": "sha1",
}


class TestDocument:
    @pytest.mark.parametrize(
        "path", [PATH, f"/api/feature_flag/local_evaluation/?token={PROJECT.token}&send_cohorts"]
    )
    async def test_members(self, client, world, path):
        """
        All three members are there, under both addresses.
        """
        world.catalog.set_flag(FLAG)

        document = await (await client.get(path, headers=AUTH)).json()

        assert ["a"] == [flag["key"] for flag in document["flags"]]
        assert {"0": "company", "1": "project"} == document["group_type_mapping"]
        assert {} == document["cohorts"]

    @pytest.mark.parametrize("spelling", ["{}", 'W/"{}"', '"{}"', '"other", W/"{}"'])
    async def test_not_modified(self, client, spelling):
        """
        A client that has the present definitions gets 304, however its proxy spells the tag.
        """
        first = await client.get(PATH, headers=AUTH)
        tag = first.headers["ETag"].removeprefix('W/"').removesuffix('"')
        headers = {**AUTH, "If-None-Match": spelling.format(tag)}
        second = await client.get(PATH, headers=headers)

        assert first.headers["ETag"].startswith('W/"')
        assert "private, must-revalidate" == first.headers["Cache-Control"]
        assert (304, b"") == (second.status, await second.read())
        assert first.headers["ETag"] == second.headers["ETag"]

    async def test_modified(self, client, world):
        """
        A change of a flag changes the tag.
        """
        before = await client.get(PATH, headers=AUTH)
        world.catalog.set_flag(FLAG)
        headers = {**AUTH, "If-None-Match": before.headers["ETag"]}

        assert 200 == (await client.get(PATH, headers=headers)).status


class TestAuthentication:
    @pytest.mark.parametrize(
        ("headers", "token", "code"),
        [
            ({}, "phc_one", "not_authenticated"),
            ({"Authorization": "Basic x"}, "phc_one", "not_authenticated"),
            ({"Authorization": "Bearer"}, "phc_one", "not_authenticated"),
            ({"Authorization": "Bearer phs_x"}, "phc_one", "authentication_failed"),
            (AUTH, "phc_unknown", "authentication_failed"),
        ],
    )
    async def test_refusals(self, client, headers, token, code):
        """
        Key and token have to be known.
        """
        response = await client.get(f"/flags/definitions?token={token}", headers=headers)
        error = await response.json()

        assert 401 == response.status
        assert ("authentication_error", code, None) == (
            error["type"],
            error["code"],
            error["attr"],
        )

    async def test_of_another_project(self, client):
        """
        A good key does not read the definitions of another project: SDKs keep what they have.
        """
        response = await client.get(f"/flags/definitions?token={OTHER_PROJECT.token}", headers=AUTH)

        assert 403 == response.status
        assert "permission_denied" == (await response.json())["code"]

    async def test_quota(self, client, world):
        """
        A project over its quota gets 402, at which SDKs drop the definitions that they have.
        """
        world.catalog.write(PROJECT.id, "project", "1", {"is_quota_limited": True})

        response = await client.get(PATH, headers=AUTH)

        assert 402 == response.status
        assert "payment_required" == (await response.json())["code"]


class TestSdks:
    @pytest.mark.parametrize(
        ("agent", "asks_server"),
        [
            ("posthog-python/7.91.1", False),
            ("posthog-python/7.78.0", False),
            ("posthog-python/7.74.0", True),
            ("posthog-python/6.9.3", True),
            ("posthog-python/", True),
            ("posthog-node/5.70.0", True),
            ("posthog-ruby/3.0", True),
            ("", True),
        ],
    )
    async def test_each_gets_what_it_judges_alike(self, client, world, agent, asks_server):
        """
        posthog-python of today compares numbers as the server does; the others are told to ask.
        """
        test = {"key": "seats", "type": "person", "operator": "gt", "value": 5}
        world.catalog.set_flag({**FLAG, "filters": {"groups": [{"properties": [test]}]}})

        response = await client.get(PATH, headers={**AUTH, "User-Agent": agent})
        (flag,) = (await response.json())["flags"]

        assert asks_server is flag["ensure_experience_continuity"]
        assert "User-Agent" in response.headers["Vary"]
