import pytest

from flagstream.api import create_app
from tests import ofrep
from tests.documented import answered, problems
from tests.fakes.world import World


@pytest.fixture
def world():
    return World()


@pytest.fixture
async def client(world, aiohttp_client):
    """
    A client of the application, none of whose answers may be outside the OpenAPI document, or
    outside the one of OpenFeature's protocol.
    """
    found = []

    async def check(request, response):
        found.extend(problems(answered(request, response)))
        found.extend(ofrep.problems(request, response))

    app = create_app(world.services())
    app.on_response_prepare.append(check)

    yield await aiohttp_client(app)

    assert [] == found
