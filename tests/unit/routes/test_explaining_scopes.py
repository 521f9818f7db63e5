"""Which keys may ask why, and what they are told."""

import pytest

from tests.fakes.views import PROJECT

from .asking import AUTH, ROOT, send
from .test_flags import flag_row

PERSON = {"key": "plan", "value": "pro"}
ASKED = {"flag_key": "new", "distinct_id": "anna"}


@pytest.fixture
def flag(world):
    """A flag of persons, and a person of whom something is stored."""
    world.view.set_person("anna", distinct_ids=["anon"], plan="pro")
    world.catalog.set_flag(flag_row("new", flag_id=1, test=PERSON, group=False))


async def key_of(client, *scopes):
    """Make a key with some scopes, and the header that it is sent in."""
    response = await client.post(
        f"{ROOT}/keys/", json={"label": "x", "scopes": list(scopes)}, headers=AUTH
    )
    assert response.status == 201, await response.text()
    return {"Authorization": f"Bearer {(await response.json())['secret']}"}


class TestScopes:
    @pytest.mark.parametrize(
        ("path", "scopes", "lacks"),
        [
            ("flags/explain", ["flags:read"], "groups:read"),
            ("flags/explain", ["groups:read"], "flags:read"),
            ("flags/preview", ["groups:write"], "flags:read"),
        ],
    )
    async def test_what_is_lacking(self, client, flag, path, scopes, lacks):
        """
        A key that lacks a scope is told which.
        """
        headers = await key_of(client, *scopes)

        response = await client.post(f"{ROOT}/{path}/", json=ASKED, headers=headers)

        assert 403 == response.status
        assert lacks in (await response.json())["detail"]

    async def test_what_is_stored_of_persons(self, client, flag):
        """
        Who may not read persons learns what the flag answers, and nothing that is stored of them.
        """
        answers = []
        for more in ([], ["events:read"]):
            headers = await key_of(client, "flags:read", "groups:read", *more)
            response = await client.post(f"{ROOT}/flags/explain/", json=ASKED, headers=headers)
            answers.append(await response.json())

        hidden, shown = answers
        assert (True, True) == (hidden["value"], shown["value"])
        assert ([], ["anna", "anon"]) == (
            hidden["person"]["distinct_ids"],
            shown["person"]["distinct_ids"],
        )
        assert [None, "pro"] == [
            each["conditions"][0]["filters"][0]["seen"] for each in (hidden, shown)
        ]

    async def test_in_cohorts(self, client, world):
        """
        Nor what cohorts, and groups of filters within them, have seen of it.
        """
        world.view.set_person("anna", plan="pro")
        values = {"type": "AND", "values": [{**PERSON, "type": "person"}]}
        cohort = {"name": "Pro", "filters": {"properties": {"type": "OR", "values": [values]}}}
        made = await send(client, "POST", f"{ROOT}/cohorts/", cohort, 201)
        tests = [{"key": "id", "type": "cohort", "value": made["id"]}]
        filters = {"groups": [{"properties": tests}]}
        world.catalog.set_flag(flag_row("new", flag_id=1, group=False, filters=filters))
        seen = []
        for more in ([], ["events:read"]):
            headers = await key_of(client, "flags:read", "groups:read", *more)
            response = await client.post(f"{ROOT}/flags/explain/", json=ASKED, headers=headers)
            (opened,) = (await response.json())["cohorts"]
            (inner,) = opened["filters"]["values"]
            seen += [each["seen"] for each in inner["values"]]

        assert [None, "pro"] == seen

    async def test_by_what_they_are_hashed(self, client, world):
        """
        Nor is the id that somebody had before, which decides where they are in a rollout.
        """
        world.view.set_person("anna", distinct_ids=["anon"], hash_keys={"new": "anon"}, plan="pro")
        half = {"groups": [{"rollout_percentage": 50}]}
        row = flag_row("new", flag_id=1, group=False, filters=half)
        world.catalog.set_flag({**row, "ensure_experience_continuity": True})
        told = []
        for more in ([], ["events:read"]):
            headers = await key_of(client, "flags:read", "groups:read", *more)
            response = await client.post(f"{ROOT}/flags/explain/", json=ASKED, headers=headers)
            (condition,) = (await response.json())["conditions"]
            told.append((condition["rollout"]["identified_by"], condition["rollout"]["identifier"]))

        assert [("first_distinct_id", None), ("first_distinct_id", "anon")] == told

    async def test_what_is_remembered(self, client, world):
        """
        Nor by which of somebody's ids and sessions the active group is known.
        """
        world.view.set_group("company", "acme", plan="pro")
        world.view.active[PROJECT.id, "anna"] = {"company": "acme"}
        world.catalog.set_flag(flag_row("new", flag_id=1, test=PERSON))
        told = []
        for more in ([], ["events:read"]):
            headers = await key_of(client, "flags:read", "groups:read", *more)
            response = await client.post(f"{ROOT}/flags/explain/", json=ASKED, headers=headers)
            (group,) = (await response.json())["groups"]
            told.append((group["group_key"], group["source"], group["distinct_id"]))

        assert [("acme", "memory", None), ("acme", "memory", "anna")] == told
