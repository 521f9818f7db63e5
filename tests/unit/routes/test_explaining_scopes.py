"""Which keys may ask why, and what they are told."""

import pytest

from .asking import AUTH, ROOT
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
