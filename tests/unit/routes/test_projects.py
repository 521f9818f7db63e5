"""Projects with their settings and keys over the API."""

import pytest

from flagstream.api import create_app
from flagstream.ports import Project
from tests.fakes.views import OTHER_PROJECT, PROJECT, FakeProjects

from .asking import AUTH, ROOT, get, send


class TestList:
    @pytest.mark.parametrize("root", ["projects", "environments"])
    async def test_one(self, client, root):
        """
        A key is of one project, which is listed as it is read alone.
        """
        listed = await get(client, f"/api/{root}/")

        assert {
            "count": 1,
            "next": None,
            "previous": None,
            "results": [await get(client, f"{ROOT}/")],
        } == listed

    @pytest.mark.parametrize("path", ["/api/projects/", f"{ROOT}/keys/"])
    async def test_needs_a_secret_key(self, client, path):
        """
        The public token lists nothing.
        """
        headers = {"Authorization": f"Bearer {PROJECT.token}"}

        assert 401 == (await client.get(path, headers=headers)).status
        assert 401 == (await client.get(path)).status


class TestKeys:
    async def test_list(self, world, aiohttp_client):
        """
        The public token is shown whole, of the secret key the end, each with what it is for.
        """
        secret_key = "phs_0123456789abcdefghij"
        project = Project(id=1, token="phc_public", secret_key=secret_key)
        services = world.services(projects=FakeProjects(project, OTHER_PROJECT))
        client = await aiohttp_client(create_app(services))
        headers = {"Authorization": f"Bearer {secret_key}"}

        response = await client.get("/api/projects/1/keys/", headers=headers)

        token, secret = (await response.json())["results"]
        assert {
            "kind": "project_token",
            "value": "phc_public",
            "is_masked": False,
            "reads": ["flags"],
            "writes": ["events"],
        } == token
        assert {
            "kind": "secret_key",
            "value": "…ghij",
            "is_masked": True,
            "reads": ["everything"],
            "writes": ["definitions", "groups", "settings"],
        } == secret
        assert secret_key not in await response.text()

    async def test_short_key(self, client):
        """
        Of a key that is short nothing is shown.
        """
        _, secret = (await get(client, f"{ROOT}/keys/"))["results"]

        assert "the secret key" == secret["value"]


class TestSettings:
    async def test_settings(self, client):
        """
        A project's settings are read and changed by name.
        """
        path = "/api/projects/1/"
        before = await get(client, path)
        response = await client.patch(
            path, json={"remember_active_groups": False, "bucketing": "sha1"}, headers=AUTH
        )

        assert (1, PROJECT.token, True) == tuple(
            before[name] for name in ("id", "api_token", "remember_active_groups")
        )
        assert {**before, "remember_active_groups": False, "bucketing": "sha1"} == (
            await response.json()
        )
        assert (
            "sha1"
            == (await send(client, "POST", f"{ROOT}/feature_flags/", {"key": "a"}, 201))[
                "bucketing"
            ]
        )

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("timezone", "Europe/Berlin"),
            ("property_matching_version", 2),
            ("is_quota_limited", True),
        ],
    )
    async def test_each(self, client, world, name, value):
        """
        A setting that is changed is what requests find from then on.
        """
        response = await client.patch("/api/projects/1/", json={name: value}, headers=AUTH)

        assert value == (await response.json())[name]
        assert value == getattr(world.catalog.project(PROJECT.id).settings, name)

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("bucketing", "md5", "one of murmur3, sha1"),
            ("remember_active_groups", 1, "true or false"),
            ("name", "", "a text of 1 to 400 characters"),
            *(
                ("timezone", value, "the name of a time zone, such as Europe/Berlin")
                for value in ["Mars/Olympus", "", "../../etc/passwd", "Europe", "\0", "+02:00", 2]
            ),
            *(
                ("property_matching_version", value, "1 or 2")
                for value in [0, 3, "1", True, 1.0, None, [1]]
            ),
            *(("is_quota_limited", value, "true or false") for value in [0, "true", None]),
        ],
    )
    async def test_refusals(self, client, name, value, expected):
        """
        A wrong setting is refused by name, with what was expected.
        """
        response = await client.patch("/api/projects/1/", json={name: value}, headers=AUTH)

        error = await response.json()
        assert (400, name) == (response.status, error["attr"])
        assert error["detail"].startswith(f"{name}: expected {expected}, got ")

    async def test_no_such_setting(self, client):
        """
        A setting that is not there is refused by name.
        """
        response = await client.patch("/api/projects/1/", json={"colour": "red"}, headers=AUTH)

        assert (400, "colour") == (response.status, (await response.json())["attr"])

    async def test_other_project(self, client):
        """
        A key opens its own project only.
        """
        await get(client, "/api/projects/2/", expected=404)
