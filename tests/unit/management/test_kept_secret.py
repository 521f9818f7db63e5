"""The secret key of a keys.json of before."""

import json

import pytest

from flagstream.errors import LogUnavailableError
from flagstream.keys import Hasher, legacy_id
from flagstream.management import take_over_kept_secret
from flagstream.settings import Settings
from flagstream.state.access import Scope
from tests.fakes.access import FakeProjects
from tests.fakes.views import FakeCatalog, FakeDefinitionsLog, FakeView

SECRET = "phs_4fXk2-Yt_M3dE0aQmZ0fY1kqvF8rJw6H5cR7bN9uLxs"
BEFORE = {"project_token": "phc_kept", "secret_key": SECRET}


@pytest.fixture
def access():
    return FakeProjects()


@pytest.fixture
def log(access):
    return FakeDefinitionsLog(FakeCatalog(), FakeView(), access)


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(BEFORE))
    return file


async def start(file, log, **settings):
    await take_over_kept_secret(Settings(data_dir=file.parent, **settings), log, lambda: 5)


class TestTakeOver:
    async def test_opens_what_it_opened(self, file, access, log):
        """
        The key opens all of the first project from now on, and the file has the token alone.
        """
        await start(file, log)

        key = access.key(legacy_id(SECRET, 1))
        assert (1, {*Scope}) == (key.project_id, key.allows)
        assert await Hasher().is_right(key.hash, SECRET)
        assert {"project_token": "phc_kept"} == json.loads(file.read_bytes())
        assert [] == [each for each in log.appended if SECRET.encode() in each.value]

    async def test_once(self, file, access, log):
        """
        The next start finds nothing to do; one that was cut short is made up for, as the same key.
        """
        await start(file, log)
        file.write_text(json.dumps(BEFORE))
        await start(file, log)
        written = len(log.appended)

        await start(file, log)

        assert written == len(log.appended)
        assert 1 == len(access.keys(1))

    async def test_log_is_down(self, file, log):
        """
        A key that is not in the log is not removed from the file.
        """
        log.is_down = True

        with pytest.raises(LogUnavailableError):
            await start(file, log)

        assert BEFORE == json.loads(file.read_bytes())

    async def test_beside_one_that_is_set(self, file, access, log):
        """
        A key that opened nothing, as another one was set, does not begin to; it is removed.
        """
        await start(file, log, secret_key="phs_set")

        assert [] == access.keys(1)
        assert {"project_token": "phc_kept"} == json.loads(file.read_bytes())
