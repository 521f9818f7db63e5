import logging
from contextlib import asynccontextmanager

import pytest

from flagstream.settings import Settings
from flagstream.state.merge import REDUCERS
from flagstream.topics import record_key
from flagstream.views import ReadSide
from tests.fakes.log import FakeLog


@pytest.fixture
def log():
    return FakeLog()


@pytest.fixture
def write(log):
    """
    Fold an update as a table's agent does, and append the state to the changelog.
    """
    states = {}
    versions = iter(range(1, 1_000_000))

    def write(table, key_parts, update):
        key = record_key(*key_parts)
        version = next(versions)
        state = REDUCERS[table].fold(states.get((table, key)), update.to_bytes(), version)
        states[table, key] = state
        log.append(table.changelog, key, state)
        return version

    return write


@pytest.fixture
def reading(tmp_path, log):
    """
    A read side that has caught up, as often as it is entered.
    """

    @asynccontextmanager
    async def reading(**settings):
        side = await ReadSide.open(Settings(data_dir=tmp_path, **settings), log)
        await side.start()
        try:
            await side.ready()
            yield side
        finally:
            await side.stop()

    return reading


@pytest.fixture
def warnings(caplog):
    """
    The messages that an operator sees.
    """
    caplog.set_level(logging.WARNING)
    return lambda: [record.message for record in caplog.records]
