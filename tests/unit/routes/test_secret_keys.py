"""Secret keys over the API: made, used, listed, rotated, revoked."""

import asyncio

import pytest

from tests.fakes.access import OPERATOR_KEY

from .asking import ROOT, get, send

WANTED = {"label": "backend", "scopes": ["flags:read"]}
HOUR_MS = 3_600_000


async def make(client, **members):
    """Make a key; gives the answer."""
    return await send(client, "POST", f"{ROOT}/keys/", {**WANTED, **members}, 201)


async def asked(client, secret, path=f"{ROOT}/feature_flags/"):
    """Ask with a key; gives the status."""
    response = await client.get(path, headers={"Authorization": f"Bearer {secret}"})
    return response.status


class TestCreate:
    async def test_made(self, client, world):
        """
        A key opens what its scopes say from its answer on, and is told whole in this answer alone.
        """
        made = await make(client)
        listed = (await get(client, f"{ROOT}/keys/"))["results"]

        secret = made.pop("secret")
        assert {
            "id": made["id"],
            "label": "backend",
            "scopes": ["flags:read"],
            "status": "active",
            "value": f"phs_{made['id']}_…{secret[-4:]}",
            "created_at": "2025-11-24T16:00:00Z",
            "created_by": "the secret key",
            "expires_at": None,
            "revoked_at": None,
            "last_used_at": None,
        } == made
        assert [made] == listed
        assert [200, 403] == [
            await asked(client, secret, f"{ROOT}/{path}/") for path in ("feature_flags", "keys")
        ]

    async def test_not_kept_on_the_way(self, client):
        """
        Nothing between keeps an answer that has a key.
        """
        response = await client.post(
            f"{ROOT}/keys/",
            json=WANTED,
            headers={"Authorization": f"Bearer {OPERATOR_KEY}"},
        )

        assert "no-store" == response.headers["Cache-Control"]

    async def test_author(self, client, world):
        """
        What is changed with a key names it by its label and its id.
        """
        made = await make(client, scopes=["flags:write"])

        response = await client.post(
            f"{ROOT}/feature_flags/",
            json={"key": "a"},
            headers={"Authorization": f"Bearer {made['secret']}"},
        )
        flag = await response.json()

        (change,) = (await get(client, f"{ROOT}/feature_flags/{flag['id']}/activity/"))["results"]
        assert f"backend ({made['id']})" == change["author"]

    @pytest.mark.parametrize(
        ("body", "attr"),
        [
            ({"label": "x"}, "scopes"),
            ({**WANTED, "scopes": ["all"]}, "scopes.0"),
            ({**WANTED, "colour": "red"}, "colour"),
        ],
    )
    async def test_refused(self, client, body, attr):
        """
        What is wrong is named.
        """
        error = await send(client, "POST", f"{ROOT}/keys/", body, 400)

        assert attr == error["attr"]

    async def test_of_another_project(self, client):
        """
        A key opens its own project by its number, and no other.
        """
        made = await make(client)

        statuses = [
            await asked(client, made["secret"], f"/api/projects/{project}/feature_flags/")
            for project in ("1", "@current", "2", "3", "01", "x")
        ]

        assert [200, 200, 404, 404, 404, 404] == statuses


class TestEnds:
    async def test_revoked(self, client):
        """
        A key that is revoked is refused from the answer on, as often as it is revoked.
        """
        made = await make(client)
        before = await asked(client, made["secret"])
        path = f"{ROOT}/keys/{made['id']}/"

        revoked = await send(client, "DELETE", path)
        after = await asked(client, made["secret"])

        assert (200, 401, "revoked") == (before, after, revoked["status"])
        assert revoked == await send(client, "DELETE", path)

    async def test_expired(self, client, world):
        """
        A key is refused once its time has come, and listed as expired.
        """
        made = await make(client, expires_at="2025-11-24T17:00:00Z")
        before = await asked(client, made["secret"])

        world.access.now_ms += HOUR_MS

        assert (200, 401) == (before, await asked(client, made["secret"]))
        assert ["expired"] == [
            key["status"] for key in (await get(client, f"{ROOT}/keys/"))["results"]
        ]

    async def test_rotated(self, client, world):
        """
        Old and new key are taken side by side until the overlap has passed.
        """
        old = await make(client)
        path = f"{ROOT}/keys/{old['id']}/rotate/"

        new = await send(client, "POST", path, {"overlap_s": 60}, 201)
        both = [await asked(client, each["secret"]) for each in (old, new)]
        world.access.now_ms += 60_000

        assert [200, 200] == both
        assert [401, 200] == [await asked(client, each["secret"]) for each in (old, new)]
        assert ("backend", ["flags:read"]) == (new["label"], new["scopes"])
        assert 409 == (await client.post(path, headers=_operator())).status

    async def test_no_body(self, client):
        """
        Without a body the old key is taken for an hour.
        """
        old = await make(client)

        response = await client.post(f"{ROOT}/keys/{old['id']}/rotate/", headers=_operator())

        assert 201 == response.status
        listed = {key["id"]: key for key in (await get(client, f"{ROOT}/keys/"))["results"]}
        assert "2025-11-24T17:00:00Z" == listed[old["id"]]["expires_at"]

    async def test_history(self, client):
        """
        What became of a key is listed, with who did it, and without what opens anything.
        """
        made = await make(client)
        await send(client, "DELETE", f"{ROOT}/keys/{made['id']}/")

        page = await get(client, f"{ROOT}/keys/{made['id']}/activity/")

        assert [("deleted", "backend"), ("created", "backend")] == [
            (each["activity"], each["detail"]["name"]) for each in page["results"]
        ]
        assert {"SecretKey"} == {each["scope"] for each in page["results"]}
        assert made["secret"] not in str(page)
        assert "argon2" not in str(page)

    @pytest.mark.parametrize(
        ("method", "path"),
        [("DELETE", ""), ("POST", "rotate/"), ("GET", "activity/")],
    )
    async def test_no_such_key(self, client, method, path):
        """
        A key that is not the project's is not there.
        """
        other = await client.post("/api/projects/2/keys/", json=WANTED, headers=_operator())
        key_id = (await other.json())["id"]

        for missing in (key_id, "1-0123456789abcdef"):
            response = await client.request(
                method, f"/api/projects/1/keys/{missing}/{path}", headers=_operator()
            )
            assert 404 == response.status


class TestUse:
    async def test_last_used(self, client):
        """
        That a key was used is listed, wherever it was used.
        """
        made = await make(client)
        await asked(client, made["secret"])
        await asyncio.sleep(0)

        (key,) = (await get(client, f"{ROOT}/keys/"))["results"]
        assert "2025-11-24T16:00:00Z" == key["last_used_at"]

    async def test_guessed(self, client):
        """
        Whoever guesses is told to come back, as the document says.
        """
        made = await make(client)
        guesses = [f"phs_{made['id']}_{number}" for number in range(4)]

        statuses = [await asked(client, each) for each in guesses]

        assert [401, 401, 401, 429] == statuses


def _operator():
    return {"Authorization": f"Bearer {OPERATOR_KEY}"}
