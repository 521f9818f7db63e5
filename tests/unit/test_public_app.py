"""What is left on the first port where operators have one of their own."""

import pytest

from flagstream.api import create_app, create_health_app, create_public_app
from flagstream.openapi import needs_key, operation_of
from flagstream.routes.table import SECTIONS
from tests.fakes.world import World
from tests.unit.routes.asking import AUTH
from tests.unit.routes.test_headers import filled

ROUTES = {
    (route.method, route.path): route.handler
    for section in SECTIONS
    for route in section.routes
    if route.method != "OPTIONS"
}
OTHERS = ("/metrics", "/api/openapi.json", "/api/docs")
PUBLIC = {
    place: not needs_key(operation_of(handler).access) and not place[1].startswith(OTHERS)
    for place, handler in ROUTES.items()
}
PLACES = pytest.mark.parametrize(
    ("place", "is_public"), PUBLIC.items(), ids=[" ".join(place) for place in PUBLIC]
)


@pytest.fixture
def whole():
    return create_app(World().services())


async def is_there(client, place):
    method, path = place
    response = await client.request(method, filled(path), headers=AUTH)
    # A script, or a group, that is not there is told so in other words.
    return response.status != 404 or "There is nothing at" not in await response.text()


class TestPublic:
    @PLACES
    async def test_first_port(self, whole, aiohttp_client, place, is_public):
        """
        What browsers and capturing backends ask is there, and nothing else, key or not.
        """
        client = await aiohttp_client(create_public_app(whole))

        assert is_public is await is_there(client, place)

    @PLACES
    async def test_admin_port(self, whole, aiohttp_client, place, is_public):
        """
        On the port of operators everything is there.
        """
        client = await aiohttp_client(whole)

        assert await is_there(client, place)

    async def test_worker(self, aiohttp_client):
        """
        A worker says on its first port how it is, and no more.
        """
        whole = create_health_app(lambda: True, lambda: True)
        client = await aiohttp_client(create_public_app(whole))

        assert [200, 200, 200, 404] == [
            (await client.get(path)).status
            for path in ("/", "/_liveness", "/_readiness", "/metrics")
        ]

    async def test_starting(self, aiohttp_client):
        """
        Until the server is ready, the first port says so as well.
        """
        whole = create_app(World(is_ready=False).services())
        client = await aiohttp_client(create_public_app(whole))

        assert [503, 503] == [
            (await client.get(path)).status for path in ("/flags/", "/api/projects/")
        ]

    def test_shares(self):
        """
        The listed places say which is which.
        """
        assert PUBLIC["POST", "/flags/"]
        assert PUBLIC["GET", "/_readiness"]
        assert not PUBLIC["GET", "/metrics"]
        assert not PUBLIC["GET", "/flags/definitions"]
        assert not PUBLIC["POST", "/api/projects/{project}/feature_flags"]
