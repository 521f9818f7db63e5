import pytest

from flagstream.api import create_app
from tests.fakes.world import World


@pytest.fixture
def world():
    return World()


@pytest.fixture
async def client(world, aiohttp_client):
    return await aiohttp_client(create_app(world.services()))
