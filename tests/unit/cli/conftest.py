import asyncio

import pytest

from flagstream.api import create_app
from tests.fakes.access import PROJECT
from tests.fakes.world import World
from tests.unit.cli.commands import run


@pytest.fixture
def world():
    return World()


@pytest.fixture
async def command(world, aiohttp_server):
    """Run a command that talks to a server."""
    server = await aiohttp_server(create_app(world.services()))
    keys = {"FLAGSTREAM_SECRET_KEY": PROJECT.secret_key}
    url = str(server.make_url("/"))

    async def command(*arguments, **environment):
        return await asyncio.to_thread(run, *arguments, "--url", url, **{**keys, **environment})

    return command
