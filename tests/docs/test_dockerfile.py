"""The image is made as it has to be: by one lock, for nobody in particular, and easy to stop."""

import fnmatch
import json
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import yaml

from flagstream.settings import ENVIRONMENT_PREFIX, Settings
from tests.server import free_port

ROOT = Path(__file__).parents[2]
TEXT = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
INSTRUCTIONS = [
    tuple(line.split(maxsplit=1)) for line in TEXT.replace("\\\n", " ").splitlines() if line
]
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()
DOCKERS_PATIENCE_S = 10


def stages():
    """Split the instructions by stage; what comes before the first is left out."""
    found = []
    for name, rest in INSTRUCTIONS:
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def last(name):
    """Give what an instruction of the last stage says; it has to be there once."""
    (rest,) = [rest for each, rest in stages()[-1] if each == name]
    return rest


def environment():
    return dict(re.findall(r"(\w+)=(\S+)", last("ENV")))


def is_sent(path):
    """Tell whether a file is sent to the builder: the last pattern that matches says."""
    is_kept = True
    for line in IGNORED:
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and fnmatch.fnmatch(path, pattern):
            is_kept = line.startswith("!")
    return is_kept


class TestImage:
    def test_stages(self):
        """
        What builds is left behind: both stages are of one base with a version, and the last runs no
        pip.
        """
        bases = [rest.partition(" AS ")[0] for name, rest in INSTRUCTIONS if name == "FROM"]
        (python,) = [rest for name, rest in INSTRUCTIONS[:1] if name == "ARG"]

        assert ["python:${PYTHON}"] * 2 == bases
        assert re.fullmatch(r"PYTHON=3\.1[123](\.\d+)?-slim-bookworm", python)
        assert [] == [rest for name, rest in stages()[-1] if "pip" in rest]

    def test_same_lock(self):
        """
        Everything but flagstream itself comes from the lock, by hashes; that step needs no network.
        """
        installs = [rest for _, rest in stages()[0] if "pip install" in rest]

        assert 2 == len(installs)
        assert "--require-hashes -r requirements.lock" in installs[0]
        assert installs[1].endswith("--no-deps --no-build-isolation .")

    def test_what_is_sent(self):
        """
        What is copied is there and is sent to the builder, and nothing else: no data, no history.
        """
        copies = [rest.split()[:-1] for name, rest in stages()[0] if name == "COPY"]

        for path in chain.from_iterable(copies):
            assert (ROOT / path).exists()
            assert is_sent(path)
        assert [] == [path for path in (".git", "data", ".venv", "tests", ".env") if is_sent(path)]

    def test_user(self):
        """
        It is not root, and is named by number, as orchestrators ask for.
        """
        user, group = last("USER").split(":")

        assert int(user) > 0
        assert int(group) > 0
        assert f"--owner {user} --group {group}" in TEXT

    @pytest.mark.parametrize("name", ["ENTRYPOINT", "CMD"])
    def test_no_shell(self, name):
        """
        No shell stands between signals and the process.
        """
        assert all(isinstance(word, str) for word in json.loads(last(name)))

    def test_stop(self):
        """
        SIGTERM ends it before Docker loses patience, or the compose file does.
        """
        compose = yaml.safe_load((ROOT / "config/compose.yaml").read_text())
        grace = compose["x-flagstream"]["stop_grace_period"]

        assert "SIGTERM" == last("STOPSIGNAL")
        assert Settings().stop_timeout_s < DOCKERS_PATIENCE_S <= int(grace.removesuffix("s"))

    def test_settings(self):
        """
        Its variables are settings, and the volume is where data is.
        """
        given = environment()
        names = [name for name in given if name.startswith(ENVIRONMENT_PREFIX)]

        assert last("VOLUME") == given["FLAGSTREAM_DATA_DIR"]
        assert last("EXPOSE") == str(Settings().port)
        for name in names:
            assert name.removeprefix(ENVIRONMENT_PREFIX).lower() in Settings.model_fields

    def test_labels(self):
        """
        It says what it is, in the words of OCI.
        """
        labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', last("LABEL")))

        assert {"title", "description", "licenses", "version", "revision"} == set(labels)


class TestHealthCheck:
    def ask(self, port):
        _, _, command = last("HEALTHCHECK").partition("CMD ")
        program, *arguments = json.loads(command)
        assert "python" == program
        environment = {"FLAGSTREAM_PORT": str(port)}
        ran = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, check=False
        )
        return ran.returncode

    def test_running(self, server):
        """
        A server that runs is healthy.
        """
        assert 0 == self.ask(server.port)

    def test_not_running(self):
        """
        One that does not answer is not.
        """
        assert 1 == self.ask(free_port())
