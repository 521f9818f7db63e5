"""What the data directory keeps: the first project's token, and the operator's key of a run."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from flagstream.errors import SettingsError
from flagstream.keys import kept_secret, operator_key, project_token, read_secret_key
from flagstream.settings import Settings

TOKEN = {"project_token": "phc_kept"}
BEFORE = {**TOKEN, "secret_key": "phs_kept"}


@pytest.fixture
def data(tmp_path):
    return tmp_path / "not" / "there yet"


@pytest.fixture
def kept(tmp_path):
    """Write keys into a data directory."""

    def write(text):
        (tmp_path / "keys.json").write_text(text)
        return Settings(data_dir=tmp_path)

    return write


class TestProjectToken:
    def test_made_once(self, data):
        """
        A token is made at the first start and is the same ever after; no secret is kept beside it.
        """
        first, second = (project_token(Settings(data_dir=data)) for _ in range(2))

        assert first == second
        assert first.startswith("phc_")
        assert ["keys.json"] == [path.name for path in data.iterdir()]
        assert {"project_token": first} == json.loads((data / "keys.json").read_bytes())

    def test_private(self, data):
        """
        Nobody but the owner may read the file.
        """
        project_token(Settings(data_dir=data))

        assert 0o600 == stat.S_IMODE((data / "keys.json").stat().st_mode)

    def test_different_everywhere(self, tmp_path):
        """
        No two data directories have a token in common.
        """
        one, other = (project_token(Settings(data_dir=tmp_path / name)) for name in "ab")

        assert one != other

    def test_race(self, data):
        """
        Processes that start together agree on the token, and leave nothing else behind.
        """
        with ThreadPoolExecutor(16) as pool:
            tokens = list(pool.map(lambda _: project_token(Settings(data_dir=data)), range(64)))

        assert tokens == [tokens[0]] * 64
        assert ["keys.json"] == [path.name for path in data.iterdir()]

    def test_settings_win(self, data):
        """
        A token that is set leaves no file behind.
        """
        assert "phc_set" == project_token(Settings(data_dir=data, project_token="phc_set"))
        assert not data.exists()

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            "{}",
            '{"project_token": ""}',
            '{"project_token": 1}',
            '{"project_token": "phc_x", "secret_key": 1}',
        ],
    )
    def test_malformed(self, kept, text):
        """
        A file that holds no token stops the start, and is named.
        """
        with pytest.raises(SettingsError, match=r"keys\.json: expected"):
            project_token(kept(text))

    def test_not_a_directory(self, tmp_path):
        """
        A data directory that cannot be made stops the start, and is named.
        """
        (tmp_path / "file").touch()

        with pytest.raises(SettingsError, match=r"file/data/keys\.json: cannot keep the keys"):
            project_token(Settings(data_dir=tmp_path / "file" / "data"))


class TestKeptSecret:
    def test_of_before(self, kept, tmp_path):
        """
        A secret key that a version of before has kept is found, and once removed it is gone.
        """
        settings = kept(json.dumps(BEFORE))

        found = kept_secret(settings)
        found.remove()

        assert "phs_kept" == found.secret
        assert kept_secret(settings) is None
        assert TOKEN == json.loads((tmp_path / "keys.json").read_bytes())
        assert 0o600 == stat.S_IMODE((tmp_path / "keys.json").stat().st_mode)
        assert ["keys.json"] == [path.name for path in tmp_path.iterdir()]

    def test_none(self, kept, data):
        """
        There is none where no file is, or only a token in it.
        """
        assert kept_secret(Settings(data_dir=data)) is None
        assert kept_secret(kept(json.dumps(TOKEN))) is None
        assert not data.exists()


class TestOperatorKey:
    def test_while_it_runs(self, data):
        """
        The key of a run is where commands look, for nobody else to read, and is gone afterwards.
        """
        settings, path = Settings(data_dir=data), data / "operator.key"

        with operator_key(settings) as key:
            assert key == read_secret_key(settings)
            assert 0o600 == stat.S_IMODE(path.stat().st_mode)
            assert [path] == list(data.iterdir())

        assert [] == list(data.iterdir())
        with pytest.raises(SettingsError, match=r"operator\.key: cannot read .*--key"):
            read_secret_key(settings)

    def test_of_each_run(self, data):
        """
        Every run has its own; what one that was killed has left behind is replaced.
        """
        settings = Settings(data_dir=data)
        data.mkdir(parents=True)
        (data / "operator.key").write_text("phs_operator_of_a_killed_one")

        with operator_key(settings) as first:
            pass
        with operator_key(settings) as second:
            assert second == read_secret_key(settings)

        assert 3 == len({first, second, "phs_operator_of_a_killed_one"})

    def test_set(self, data):
        """
        A key that is set goes before that of the run.
        """
        settings = Settings(data_dir=data, secret_key="phs_set")

        with operator_key(settings):
            assert "phs_set" == read_secret_key(settings)

    def test_not_a_directory(self, tmp_path):
        """
        A data directory that cannot be made stops the start, and is named.
        """
        (tmp_path / "file").touch()
        settings = Settings(data_dir=tmp_path / "file" / "data")

        with (
            pytest.raises(SettingsError, match=r"operator\.key: cannot keep"),
            operator_key(settings),
        ):
            pass
