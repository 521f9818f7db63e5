"""Fixtures for every part of the suite."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.kafka import Kafka


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
