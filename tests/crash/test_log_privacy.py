"""Logs say what happened, and nothing of what was sent."""

import gzip
import json
import socket
import subprocess
import sys
from urllib.parse import quote

import pytest
from posthog import Posthog

from tests.crash.breaking import BREAKS
from tests.server import Server
from tests.waiting import until

MARK = "m4rk3d"
TOKEN = f"phc_{MARK}"
SECRET_KEY = f"phs_{MARK}_{'x' * 20}"
AUTH = {"Authorization": f"Bearer {SECRET_KEY}"}
PROPERTIES = {f"{MARK}-name": f"{MARK}-value", "n": {f"{MARK}-deep": [f"{MARK}-item"]}}
FLAG = {
    "key": MARK,
    "name": MARK,
    "filters": {
        "groups": [{"properties": [{"key": MARK, "value": [MARK], "type": "person"}]}],
        "payloads": {"true": f'"{MARK}"'},
    },
}
RAW = [
    b"GET /%b HTTP/1.1\r\nHost: %b\r\n\r\n",
    b"GET /%b HTTP/1.1\r\nHost: %b\r\nHost: x\r\n\r\n",
    b"%b NONSENSE %b\r\n\r\n",
    b"POST /%b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-%b: y\r\nContent-Length: 5\r\n\r\n",
    b"POST /batch/?%b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n",
    b"GET /%b HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\nX-A: %b\r\n\r\n",
    b"GET http://%b/%b HTTP/1.1\r\nHost: x\r\n\r\n",
]


class Marked(Server):
    """A server with bugs, whose keys are marked, and whose log is apart from its banner."""

    token = TOKEN
    secret_key = SECRET_KEY
    program = ("-m", "tests.crash.breaking")

    def __init__(self, data_dir, **settings):
        keys = {"project_token": TOKEN, "secret_key": SECRET_KEY}
        super().__init__(data_dir, log_level="debug", **keys, **settings)

    def launch(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, "serve"],
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )


def events():
    groups = {MARK: f"{MARK}-key"}
    yield {"event": MARK, "distinct_id": MARK, "properties": {**PROPERTIES, "$groups": groups}}
    yield {"event": "$identify", "distinct_id": MARK, "$set": PROPERTIES, "$unset": [MARK]}
    yield {"event": "$create_alias", "distinct_id": MARK, "properties": {"alias": f"{MARK}-2"}}
    identify = {"$group_type": MARK, "$group_key": f"{MARK}-key", "$group_set": PROPERTIES}
    yield {"event": "$groupidentify", "distinct_id": MARK, "properties": identify}
    dead = {**identify, "$group_set": {MARK: f"{MARK}-{BREAKS}"}}
    yield {"event": "$groupidentify", "distinct_id": MARK, "properties": dead}
    yield {"event": MARK * 100, "distinct_id": MARK}
    yield {"event": MARK, "distinct_id": MARK, "uuid": MARK, "timestamp": MARK}
    yield [MARK]


def capture(server):
    """Events, good and bad, in several wrappings, and under tokens that nobody has."""
    body = json.dumps({"api_key": TOKEN, "batch": list(events())}).encode()
    for raw in (body, gzip.compress(body), gzip.compress(body)[:-9], body[:-9], b"data=" + body):
        server.request("POST", f"/batch/?{MARK}={MARK}", raw, {"X-A": MARK, "Cookie": MARK})
    server.request("POST", "/e/", {"token": f"phc_{MARK}-unknown", "event": MARK})
    server.request("POST", "/i/v1/analytics/events", {"batch": [MARK]}, {"Authorization": MARK})


def ask(server):
    """Flags, groups and persons, asked rightly, wrongly, and where that breaks."""
    asked = {"token": TOKEN, "distinct_id": MARK, "groups": {MARK: MARK}}
    server.request("POST", "/flags/?v=2", {**asked, "person_properties": PROPERTIES})
    server.request("POST", f"/flags/?v={MARK}", asked, {"X-Flagstream-Position": MARK})
    broken = f"{MARK}-{BREAKS}"
    for path in (
        f"groups/find?group_type_index=0&group_key={MARK}",
        f"groups/?group_type_index=0&search={MARK}&cursor={MARK}",
        f"groups/property_values?group_type_index=0&key={MARK}",
        *(f"persons/{MARK}", f"persons/?search={MARK}", f"events/?distinct_id={MARK}"),
        *(f"persons/{broken}", f"persons/?distinct_id={broken}", f"feature_flags/{MARK}/"),
    ):
        server.request("GET", f"/api/projects/@current/{path}", headers=AUTH)
        server.request("GET", f"/api/projects/{MARK}/{path}", headers={"Authorization": MARK})
    server.request("GET", f"/array/{TOKEN}/config")
    server.request("GET", f"/array/{quote(MARK)}-unknown/config", headers={"Origin": MARK})


def define(server):
    """Flags and cohorts, right and wrong."""
    for path in ("feature_flags/", "cohorts/"):
        for change in ({}, {"key": f"{MARK} {MARK}"}, {"filters": {"groups": MARK}}, {"tags": 1}):
            body = {**FLAG, **change}
            server.request("POST", f"/api/projects/@current/{path}", body, AUTH)
    server.request("PATCH", "/api/projects/@current/", {"timezone": MARK}, AUTH)


def send_raw(server):
    """What is not HTTP, or ends in the middle."""
    for raw in RAW:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(raw.replace(b"%b", MARK.encode()))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass


def use_sdk(server):
    """An unmodified client."""
    client = Posthog(TOKEN, host=server.url, secret_key=SECRET_KEY, sync_mode=True)
    client.capture(MARK, distinct_id=MARK, properties=PROPERTIES, groups={MARK: MARK})
    client.group_identify(MARK, MARK, PROPERTIES)
    client.load_feature_flags()
    client.get_all_flags(MARK, groups={MARK: MARK}, person_properties={"a": MARK})
    client.shutdown()


def logged(server):
    """Send everything, and take what was logged until the end."""
    try:
        server.start()
        for script in (define, capture, ask, send_raw, use_sdk):
            script(server)
        until(lambda: b"flagstream_dead_letters_total" in metrics(server))
        letters = "/api/projects/@current/dead_letters/"
        until(lambda: server.request("GET", letters, headers=AUTH).body["results"])
        assert 0 == server.terminate()
    finally:
        server.kill()
    return server.log.read_text()


@pytest.mark.parametrize("settings", [{}, {"api_processes": 2}], ids=["one", "several"])
def test_nothing_of_what_was_sent(tmp_path, settings):
    """
    However much is told, whatever is sent, and whatever breaks over it: neither keys nor ids nor
    names nor values are in the log, but where it broke is.
    """
    log = logged(Marked(tmp_path / "data", **settings))

    assert "" == "\n".join(line for line in log.splitlines() if MARK in line)
    if not settings:
        # Those of processes beside the worker come from a program of their own, without bugs.
        assert "flagstream.routes.errors: Unexpected error" in log
        assert "KeyError: (what it says may quote what was sent)" in log
        assert "in _person_or_break" in log
        assert "an error that nobody waited for" in log


def metrics(server):
    return server.request("GET", "/metrics").body.encode()
