"""Addresses of pages, as clients reach them."""

import pytest

from flagstream.api import create_app
from flagstream.settings import Settings
from tests.fakes.world import World
from tests.unit.routes.asking import AUTH, ROOT

FORWARDED = {
    "X-Forwarded-Proto": "http, https",
    "X-Forwarded-Host": "evil.example, flags.example:8443",
    "X-Forwarded-For": "192.0.2.1",
}


@pytest.fixture
def next_page(aiohttp_client):
    """Asks for a list of two flags and reads the address of its second page."""

    async def next_page(headers, **settings):
        world = World(settings=Settings(**settings))
        for number in (1, 2):
            flag = {"id": number, "key": f"f{number}", "name": "", "filters": {}}
            world.catalog.set_flag({**flag, "active": True, "deleted": False, "version": 1})
        client = await aiohttp_client(create_app(world.services()))
        path = f"{ROOT}/feature_flags/?limit=1&search=f"
        response = await client.get(path, headers={**AUTH, **headers})
        return await response.json()

    return next_page


REST = "/api/projects/@current/feature_flags/?limit=1&search=f&offset=1"


class TestForwarded:
    @pytest.mark.parametrize("proxies", ["127.0.0.1", "10.0.0.0/8, 127.0.0.0/8"])
    async def test_trusted(self, next_page, proxies):
        """
        Of a trusted proxy the scheme and host are believed that it has added last.
        """
        page = await next_page(FORWARDED, trusted_proxies=proxies)

        assert f"https://flags.example:8443{REST}" == page["next"]

    @pytest.mark.parametrize("proxies", ["", "10.0.0.0/8", "::1"])
    async def test_not_trusted(self, next_page, proxies):
        """
        Of anybody else nothing is believed but the host that was asked.
        """
        headers = {**FORWARDED, "Host": "own.example"}
        page = await next_page(headers, trusted_proxies=proxies)

        assert f"http://own.example{REST}" == page["next"]

    async def test_unknown_scheme(self, next_page):
        """
        A scheme that is none of HTTP's changes nothing.
        """
        headers = {"Host": "own.example", "X-Forwarded-Proto": "javascript"}
        page = await next_page(headers, trusted_proxies="127.0.0.1")

        assert f"http://own.example{REST}" == page["next"]

    @pytest.mark.parametrize(
        "host", ['x"><script>', "a b", "user@x", "x/y", "x?y", "x:99999", "é", "[::1"]
    )
    async def test_odd_host(self, next_page, host):
        """
        What is no host is put into no address, but named as wrong.
        """
        page = await next_page({"Host": host})

        assert ("invalid_input", "Host") == (page["code"], page["attr"])

    @pytest.mark.parametrize("host", ["[::1]:8080", "192.0.2.1", "a-b.example:80"])
    async def test_host(self, next_page, host):
        """
        Names and addresses are, with a port or without.
        """
        page = await next_page({"Host": host})

        assert page["next"].removeprefix("http://").startswith(host.removesuffix(":80"))
