"""Projects and keys: what was answered holds, whoever is killed, and on every process."""

import json
import os
import signal
import stat

import pytest

from flagstream.state.access import Scope
from tests.crash.test_api_processes import GONE, api_pids, start
from tests.server import SECRET_KEY, TOKEN
from tests.waiting import until

KEYS = "/api/projects/1/keys/"
ROUNDS = 8


def ask(server, secret, method="GET", path="/api/projects/@current/", body=None):
    """Ask over a connection of its own."""
    return server.request(method, path, body, {"Authorization": f"Bearer {secret}"})


def make(server, secret=SECRET_KEY, scope=Scope.PROJECT_ADMIN):
    """Make a key to the first project."""
    answer = ask(server, secret, "POST", KEYS, {"label": "tests", "scopes": [scope]})
    assert answer.status == 201, answer
    return answer.body


class TestKill:
    def test_what_was_answered_holds(self, make_server):
        """
        A key opens its project after a kill right behind the answer that told it, a revoked key
        opens nothing, and a project is there with its token; log, tables and views agree.
        """
        server = make_server()
        revoked, good, tokens = [], [], [TOKEN]
        for _ in range(ROUNDS):
            server.start()
            assert [200] * len(good) == [ask(server, each["secret"]).status for each in good]
            assert [401] * len(revoked) == [ask(server, each["secret"]).status for each in revoked]
            known = ask(server, SECRET_KEY, path="/api/projects/").body["results"]
            assert tokens == [each["api_token"] for each in known]

            made = ask(server, SECRET_KEY, "POST", "/api/projects/", {"name": "x"}).body
            tokens.append(made["api_token"])
            ended = make(server)
            assert 200 == ask(server, ended["secret"]).status
            assert 200 == ask(server, SECRET_KEY, "DELETE", f"{KEYS}{ended['id']}/").status
            revoked.append(ended)
            good.append(make(server))
            server.kill()

        server.start()
        assert ROUNDS * [200] == [ask(server, each["secret"]).status for each in good]
        assert 0 == server.terminate()
        verified = server.cli("verify")
        assert 0 == verified.returncode, verified.stdout + verified.stderr

    def test_nothing_secret_is_kept(self, make_server):
        """
        No file of the server has a secret key in clear, nor does what it prints.
        """
        server = make_server(secret_key="")
        server.start()
        operator = (server.data_dir / "operator.key").read_text()
        secrets = [make(server, operator)["secret"], operator]
        assert [200, 200] == [ask(server, secret).status for secret in secrets]
        assert 0 == server.terminate()

        files = [server.log, *(path for path in server.data_dir.rglob("*") if path.is_file())]
        assert len(files) > 10
        for secret in secrets:
            hidden = secret.rpartition("_")[2].encode()
            assert [] == [file for file in files if hidden in file.read_bytes()]


class TestOperator:
    def test_of_one_run(self, make_server):
        """
        The operator's key of a run is for its owner alone, and opens nothing in another run, also
        where the one before was killed.
        """
        server = make_server(secret_key="")
        path = server.data_dir / "operator.key"
        server.start()
        first = path.read_text()
        assert 0o600 == stat.S_IMODE(path.stat().st_mode)
        assert 200 == ask(server, first).status
        server.kill()

        server.start()
        second = path.read_text()

        assert [401, 200] == [ask(server, each).status for each in (first, second)]
        assert 0 == server.terminate()
        assert not path.exists()

    def test_keys_json_of_before(self, make_server):
        """
        The secret key of a keys.json of before opens the first project as it did, and nothing of it
        is left in clear; also where the start that took it over was killed.
        """
        secret = "phs_4fXk2-Yt_M3dE0aQmZ0fY1kqvF8rJw6H5cR7bN9uLxs"
        server = make_server(secret_key="", project_token="")
        server.data_dir.mkdir()
        file = server.data_dir / "keys.json"
        before = json.dumps({"project_token": "phc_before", "secret_key": secret})

        for _ in range(2):
            file.write_text(before)
            server.start()
            assert [200, 200] == [
                ask(server, secret, path=path).status for path in ("/api/projects/1/", KEYS)
            ]
            assert 403 == ask(server, secret, "POST", "/api/projects/", {"name": "x"}).status
            server.kill()

        assert {"project_token": "phc_before"} == json.loads(file.read_bytes())
        server.start()
        (key,) = ask(server, secret, path=KEYS).body["results"]
        assert 200 == ask(server, secret, "DELETE", f"{KEYS}{key['id']}/").status
        assert 401 == ask(server, secret).status


class TestApiProcesses:
    @pytest.fixture
    def server(self, make_server):
        server = make_server(api_processes=2, secret_key="")
        start(server, 2)
        return server

    def test_holds_on_all(self, server):
        """
        A key opens its project on each process once its answer is there, and none once its
        revocation is answered, however often it was used there before.
        """
        operator = (server.data_dir / "operator.key").read_text()
        for _ in range(ROUNDS):
            made = make(server, operator)
            used = [ask(server, made["secret"]).status for _ in range(GONE)]
            assert 200 == ask(server, operator, "DELETE", f"{KEYS}{made['id']}/").status
            ended = [ask(server, made["secret"]).status for _ in range(GONE)]

            assert ([200] * GONE, [401] * GONE) == (used, ended)

    def test_projects_at_once(self, server):
        """
        Projects that are made over both processes have numbers of their own, and each process
        knows their tokens.
        """
        operator = (server.data_dir / "operator.key").read_text()
        made = [
            ask(server, operator, "POST", "/api/projects/", {"name": "x"}).body for _ in range(10)
        ]

        assert list(range(2, 12)) == [each["id"] for each in made]
        for each in made:
            body = {"token": each["api_token"], "distinct_id": "user-1"}
            until(lambda body=body: server.request("POST", "/flags/?v=2", body).status == 200)

    def test_a_process_is_started_again(self, server):
        """
        A process that takes the place of a killed one knows the operator's key and all others.
        """
        operator = (server.data_dir / "operator.key").read_text()
        made = make(server, operator)
        before = api_pids(server)
        for pid in before:
            os.kill(pid, signal.SIGKILL)

        until(lambda: is_let_in(server, operator), 60)
        until(lambda: is_let_in(server, made["secret"]), 60)
        assert set(before).isdisjoint(api_pids(server))


def is_let_in(server, secret):
    """Tell whether a key opens the project; False also where nobody answers."""
    try:
        return ask(server, secret).status == 200
    except OSError:
        return False
