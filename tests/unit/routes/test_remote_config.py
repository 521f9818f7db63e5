"""What clients load at start."""

import json

import pytest

from tests.fakes.views import PROJECT

AUTH = {"Authorization": f"Bearer {PROJECT.secret_key}"}
FLAG = {
    "id": 1,
    "key": "limits",
    "name": "",
    "filters": {"groups": [], "payloads": {"true": '{"seats":5}'}},
    "active": True,
    "deleted": False,
    "version": 1,
    "bucketing": "murmur3",
    "is_remote_configuration": True,
}


class TestConfig:
    async def test_script(self, client):
        """
        The script sets the same configuration where posthog-js looks for it.
        """
        config = await (await client.get(f"/array/{PROJECT.token}/config")).json()
        response = await client.get(f"/array/{PROJECT.token}/config.js")
        script = await response.text()

        assert "application/javascript" == response.content_type
        assert f'_POSTHOG_REMOTE_CONFIG["{PROJECT.token}"]=' in script
        assert config == json.loads(script.partition("{config:")[2].partition(",siteApps:[]}")[0])

    @pytest.mark.parametrize("name", ["config", "config.js"])
    async def test_unknown_token(self, client, name):
        """
        A token that nobody has is not found.
        """
        assert 404 == (await client.get(f"/array/phc_nobody/{name}")).status


class TestPayload:
    @pytest.mark.parametrize("end", ["", "/"])
    async def test_payload(self, client, world, end):
        """
        A remote config flag's payload is the whole answer.
        """
        world.catalog.set_flag(FLAG)
        path = f"/api/projects/@current/feature_flags/limits/remote_config{end}"

        response = await client.get(f"{path}?token={PROJECT.token}", headers=AUTH)

        assert {"seats": 5} == await response.json()

    @pytest.mark.parametrize(
        "members",
        [
            {"is_remote_configuration": False},
            {"deleted": True},
            {"filters": {"groups": []}},
            {"filters": {"groups": [], "payloads": None}},
            {"key": "other"},
        ],
    )
    async def test_no_payload(self, client, world, members):
        """
        What is no remote configuration is not found.
        """
        world.catalog.set_flag(FLAG | members)
        path = "/api/projects/@current/feature_flags/limits/remote_config"

        assert 404 == (await client.get(path, headers=AUTH)).status
