"""The default project's keys: made once, kept private, agreed on."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from flagstream.errors import SettingsError
from flagstream.keys import StaticProjects, default_project, read_secret_key
from flagstream.ports import Project
from flagstream.settings import Settings

KEYS = {"project_token": "phc_kept", "secret_key": "phs_kept"}


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


class TestDefaultProject:
    def test_made_once(self, data):
        """
        Keys are made at the first start and are the same ever after.
        """
        first, second = (default_project(Settings(data_dir=data)) for _ in range(2))

        assert first == second
        assert first.token.startswith("phc_")
        assert first.secret_key.startswith("phs_")
        assert ["keys.json"] == [path.name for path in data.iterdir()]

    def test_private(self, data):
        """
        Nobody but the owner may read the file.
        """
        default_project(Settings(data_dir=data))

        assert 0o600 == stat.S_IMODE((data / "keys.json").stat().st_mode)

    def test_different_everywhere(self, tmp_path):
        """
        No two data directories have a key in common.
        """
        one, other = (default_project(Settings(data_dir=tmp_path / name)) for name in "ab")

        assert one.token != other.token
        assert one.secret_key != other.secret_key

    def test_race(self, data):
        """
        Processes that start together agree on the keys.
        """
        with ThreadPoolExecutor(16) as pool:
            projects = list(pool.map(lambda _: default_project(Settings(data_dir=data)), range(64)))

        assert projects == [projects[0]] * 64

    def test_settings_win(self, data):
        """
        Keys that are both set leave no file behind.
        """
        settings = Settings(data_dir=data, project_token="phc_set", secret_key="phs_set")

        project = default_project(settings)

        assert Project(id=1, token="phc_set", secret_key="phs_set") == project
        assert not data.exists()

    def test_half_set(self, kept):
        """
        A key that is set goes with the other one that is kept.
        """
        settings = kept(json.dumps(KEYS)).model_copy(update={"project_token": "phc_set"})

        project = default_project(settings)

        assert ("phc_set", "phs_kept") == (project.token, project.secret_key)

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "{}", '{"project_token": "", "secret_key": 1}']
    )
    def test_malformed(self, kept, text):
        """
        A file that holds no keys stops the start, and is named.
        """
        with pytest.raises(SettingsError, match=r"keys\.json: expected"):
            default_project(kept(text))

    def test_not_a_directory(self, tmp_path):
        """
        A data directory that cannot be made stops the start, and is named.
        """
        (tmp_path / "file").touch()

        with pytest.raises(SettingsError, match=r"file/data/keys\.json: cannot keep the keys"):
            default_project(Settings(data_dir=tmp_path / "file" / "data"))


class TestReadSecretKey:
    def test_kept(self, kept):
        """
        Without a setting the key is the one in the data directory.
        """
        assert "phs_kept" == read_secret_key(kept(json.dumps(KEYS)))

    def test_makes_none(self, data):
        """
        Reading never makes a key that no server would know.
        """
        with pytest.raises(SettingsError, match=r"keys\.json: cannot read"):
            read_secret_key(Settings(data_dir=data))

        assert not data.exists()


class TestStaticProjects:
    projects = StaticProjects(
        Project(id=1, token="phc_1", secret_key="phs_1"),
        Project(id=2, token="phc_2", secret_key="phs_2"),
    )

    def test_found(self):
        """
        Each project is found by its own token and its own key.
        """
        assert [1, 2] == [self.projects.by_token(token).id for token in ("phc_1", "phc_2")]
        assert [1, 2] == [self.projects.by_secret_key(key).id for key in ("phs_1", "phs_2")]

    @pytest.mark.parametrize("key", ["", "phc_1", "phs_", "phs_11", "phs_é", "\ud800"])
    def test_unknown(self, key):
        """
        Nothing else is a key, a token least of all.
        """
        assert self.projects.by_secret_key(key) is None

    def test_secret_stays_secret(self):
        """
        A project that ends up in a log does not take its key along.
        """
        assert "phs_1" not in repr(self.projects.by_token("phc_1"))
