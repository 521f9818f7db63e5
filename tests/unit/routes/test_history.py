"""Histories of flags, cohorts and settings, and the way back."""

import pytest

from tests.fakes.views import PROJECT

from .asking import ROOT, send

GOLD = {"groups": [{"properties": [], "rollout_percentage": 50}]}
COHORT = {
    "name": "Large",
    "filters": {
        "properties": {
            "type": "AND",
            "values": [{"type": "person", "key": "seats", "operator": "gt", "value": 5}],
        }
    },
}


async def ask(client, method, path, body=None, expected=200):
    return await send(client, method, f"{ROOT}/{path}", body, expected)


async def changes_of(client, path):
    return (await ask(client, "GET", f"{path}/activity/"))["results"]


@pytest.fixture
async def flag(client):
    """A flag that was made, changed, deleted and brought back."""
    row = await ask(client, "POST", "feature_flags/", {"key": "beta", "filters": GOLD}, 201)
    path = f"feature_flags/{row['id']}"
    payloads = {"payloads": {"true": '{"a":1}'}}
    await ask(client, "PATCH", f"{path}/", {"active": False, "filters": payloads})
    await ask(client, "PATCH", f"{path}/", {"deleted": True})
    await ask(client, "PATCH", f"{path}/", {"deleted": False})
    return path


class TestFlags:
    async def test_activity(self, client, flag):
        """
        Every change is listed, the newest first, with who made it and what it changed.
        """
        listed = await changes_of(client, flag)

        assert [
            ("restored", 4, ["deleted"]),
            ("deleted", 3, ["deleted"]),
            ("updated", 2, ["active", "filters.payloads"]),
            ("created", 1, []),
        ] == [
            (
                each["activity"],
                each["version"],
                [change["field"] for change in each["detail"]["changes"]],
            )
            for each in listed
        ]
        assert {"the secret key"} == {each["author"] for each in listed}
        assert {("FeatureFlag", "1", "beta")} == {
            (each["scope"], each["item_id"], each["detail"]["name"]) for each in listed
        }
        assert {"2025-11-24T16:00:00Z"} == {each["created_at"] for each in listed}

    async def test_changes(self, client, flag):
        """
        A change shows each member before and after.
        """
        updated = (await changes_of(client, flag))[2]["detail"]["changes"]

        assert [
            {
                "type": "FeatureFlag",
                "action": "changed",
                "field": "active",
                "before": True,
                "after": False,
            },
            {
                "type": "FeatureFlag",
                "action": "created",
                "field": "filters.payloads",
                "before": None,
                "after": {"true": '{"a":1}'},
            },
        ] == updated

    async def test_restore(self, client, flag):
        """
        A flag is defined again as it was, members that it had not are gone, and that is a change
        like any other.
        """
        created = (await changes_of(client, flag))[-1]

        row = await ask(client, "POST", f"{flag}/restore/", {"id": created["id"]})

        assert (True, 5, GOLD) == (row["active"], row["version"], row["filters"])
        assert row == await ask(client, "GET", f"{flag}/")
        newest = (await changes_of(client, flag))[0]
        assert ["active", "filters.payloads"] == [
            change["field"] for change in newest["detail"]["changes"]
        ]

    async def test_pages(self, client, flag):
        """
        A long history comes in pages.
        """
        page = await ask(client, "GET", f"{flag}/activity/?limit=1&offset=1")

        assert (4, 3) == (page["count"], page["results"][0]["version"])
        assert page["next"].endswith("limit=1&offset=2")

    @pytest.mark.parametrize("body", [{}, {"id": "another"}, {"id": 1}])
    async def test_unknown_change(self, client, flag, body):
        """
        What is not in the history of this flag is not restored.
        """
        refused = await ask(client, "POST", f"{flag}/restore/", body, 400)

        assert "id" == refused["attr"]

    async def test_unknown_flag(self, client):
        """
        A flag that never was has no history.
        """
        await ask(client, "GET", "feature_flags/7/activity/", expected=404)
        await ask(client, "POST", "feature_flags/7/restore/", {"id": "x"}, expected=404)

    async def test_needs_the_secret_key(self, client, flag):
        """
        The public token shows no history.
        """
        headers = {"Authorization": f"Bearer {PROJECT.token}"}

        assert 401 == (await client.get(f"{ROOT}/{flag}/activity/", headers=headers)).status


class TestCohorts:
    async def test_restore(self, client):
        """
        A cohort's rules are brought back; members of a static one are no part of its history.
        """
        row = await ask(client, "POST", "cohorts/", COHORT, 201)
        path = f"cohorts/{row['id']}"
        await ask(client, "PATCH", f"{path}/", {"name": "Huge", "deleted": True})
        newest, oldest = await changes_of(client, path)

        assert ("deleted", "created") == (newest["activity"], oldest["activity"])
        restored = await ask(client, "POST", f"{path}/restore/", {"id": oldest["id"]})
        assert ("Large", False, 3) == (restored["name"], restored["deleted"], restored["version"])

    async def test_members(self, client):
        """
        A static cohort that is restored keeps the members that it has.
        """
        body = {"name": "Friends", "is_static": True, "members": ["a"]}
        row = await ask(client, "POST", "cohorts/", body, 201)
        path = f"cohorts/{row['id']}"
        await ask(client, "POST", f"{path}/add_members/", {"members": ["b"]})
        await ask(client, "PATCH", f"{path}/", {"name": "Others"})
        *_, oldest = await changes_of(client, path)

        await ask(client, "POST", f"{path}/restore/", {"id": oldest["id"]})

        restored = await ask(client, "GET", f"{path}/")
        assert ("Friends", ["a", "b"]) == (restored["name"], restored["members"])


class TestSettings:
    async def test_restore(self, client):
        """
        Settings have a history as well.
        """
        for timezone in ("Europe/Berlin", "Asia/Tokyo"):
            await ask(client, "PATCH", "", {"timezone": timezone})
        newest, oldest = (await ask(client, "GET", "activity/"))["results"]

        assert [("timezone", "Europe/Berlin", "Asia/Tokyo")] == [
            (change["field"], change["before"], change["after"])
            for change in newest["detail"]["changes"]
        ]
        restored = await ask(client, "POST", "restore/", {"id": oldest["id"]})
        assert "Europe/Berlin" == restored["timezone"]
