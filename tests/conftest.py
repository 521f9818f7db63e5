"""Fixtures for every part of the suite."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.kafka import Kafka
from tests.server import Server

# A machine that others use too is slow for reasons that say nothing about the code.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# What lets a change in must not depend on luck.
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, database=None)
settings.load_profile("local")


@pytest.fixture(scope="session")
def _kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """The broker that all tests share: it takes seconds to start."""
    kafka = Kafka(tmp_path_factory.mktemp("kafka"))
    kafka.up()

    yield kafka

    kafka.down()


@pytest.fixture
async def kafka(_kafka: Kafka) -> AsyncIterator[Kafka]:
    """A running Kafka without topics."""
    yield _kafka

    _kafka.up()
    await _kafka.wipe()


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Make servers, each with a data directory of its own; none outlives its test."""
    servers: list[Server] = []

    def make(**settings: object) -> Server:
        servers.append(Server(tmp_path / f"data-{len(servers)}", **settings))
        return servers[-1]

    yield make

    for server in servers:
        server.kill()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """A running server with an empty log."""
    server = make_server()
    server.start()
    return server
