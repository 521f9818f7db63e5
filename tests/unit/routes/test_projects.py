"""Projects with their settings and keys over the API."""

import pytest

from tests.fakes.access import OPERATOR_KEY
from tests.fakes.views import PROJECT

from .asking import AUTH, ROOT, get, send

ARCHIVING = ("archive", "unarchive")


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


class TestOperator:
    async def test_lists_all(self, client):
        """
        The operator's key lists all projects, and opens each by its number; the first without one.
        """
        projects = await operate(client, "GET", "/api/projects/")

        assert [(1, "phc_one"), (2, "phc_two")] == [
            (each["id"], each["api_token"]) for each in projects["results"]
        ]
        assert projects["results"][1] == await operate(client, "GET", "/api/projects/2/")
        assert projects["results"][0] == await operate(client, "GET", "/api/projects/@current/")
        for missing in ("3", "x", "02", "99999999999"):
            await operate(client, "GET", f"/api/projects/{missing}/", expected=404)

    async def test_by_token(self, client):
        """
        What is asked with a token is of the token's project.
        """
        query = "feature_flags/?token=phc_two"
        flag = await operate(client, "POST", "/api/projects/2/feature_flags/", {"key": "a"}, 201)

        found = await operate(client, "GET", f"/api/projects/@current/{query}")

        assert [flag["id"]] == [each["id"] for each in found["results"]]
        await operate(client, "GET", f"/api/projects/1/{query}", expected=403)
        await operate(client, "GET", "/api/projects/1/?token=phc_no", expected=401)

    async def test_make(self, client):
        """
        A project is made with a name and a token, and a key to it opens nothing else.
        """
        made = await operate(client, "POST", "/api/projects/", {"name": "Staging"}, 201)
        wanted = {"label": "all", "scopes": ["project:admin"]}
        key = await operate(client, "POST", f"/api/projects/{made['id']}/keys/", wanted, 201)
        headers = {"Authorization": f"Bearer {key['secret']}"}

        mine = await client.get("/api/projects/", headers=headers)
        others = await client.get("/api/projects/1/", headers=headers)

        assert [made] == (await mine.json())["results"]
        assert ("Staging", 404) == (made["name"], others.status)

    @pytest.mark.parametrize(
        ("method", "path"),
        [("POST", "/api/projects/"), *(("POST", f"{ROOT}/{each}/") for each in ARCHIVING)],
    )
    async def test_nobody_else(self, client, method, path):
        """
        A project's key makes and archives no project, whatever it may do.
        """
        error = await send(client, method, path, {"name": "x"}, 403)

        assert "permission_denied" == error["code"]

    async def test_archive(self, client):
        """
        In the archive neither token nor key is taken; taken out of it both are again.
        """
        key = {"Authorization": "Bearer phs_two"}
        event = {"api_key": "phc_two", "event": "a", "distinct_id": "u"}

        async def statuses():
            return [
                (await client.post("/capture/", json=event)).status,
                (await client.post("/flags/?v=2", json={**event, "token": "phc_two"})).status,
                (await client.get("/array/phc_two/config")).status,
                (await client.get(f"{ROOT}/", headers=key)).status,
            ]

        before = await statuses()
        archived = await operate(client, "POST", "/api/projects/2/archive/")
        assert [401, 401, 404, 401] == await statuses()
        back = await operate(client, "POST", "/api/projects/2/unarchive/")

        assert [200] * 4 == before == await statuses()
        assert [True, False] == [each["is_archived"] for each in (archived, back)]
        await operate(client, "POST", "/api/projects/1/archive/", expected=409)

    async def test_rotate_token(self, client):
        """
        Old and new token are taken side by side, and listed.
        """
        path = "/api/projects/2/token/rotate/"
        project = await operate(client, "POST", path, {"overlap_s": 60})

        assert [{"api_token": "phc_two", "ends_at": "2025-11-24T16:01:00Z"}] == project[
            "old_tokens"
        ]
        for token in ("phc_two", project["api_token"]):
            answer = await client.post("/flags/?v=2", json={"token": token, "distinct_id": "u"})
            assert 200 == answer.status


async def operate(client, method, path, body=None, expected=200):
    """Ask with the operator's key, and read the answer, whose status must be as expected."""
    headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
    response = await client.request(method, path, json=body, headers=headers)
    assert expected == response.status, await response.text()
    return await response.json()
