"""A real server in a process of its own, as a newcomer starts it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.waiting import until

TOKEN = "phc_tests"
SECRET_KEY = "phs_tests"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
_REQUEST_TIMEOUT_S = 15.0


class Answer(NamedTuple):
    """What the server answered; *body* is decoded JSON, or text where it is none."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Server:
    """
    ``flagstream serve`` on a port that stays the same when it is started again.

    Settings are given as for :class:`flagstream.settings.Settings`.
    """

    token = TOKEN
    secret_key = SECRET_KEY
    program = ("-m", "flagstream")

    def __init__(self, data_dir: Path, **settings: Any) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data_dir.with_name(f"{data_dir.name}.log")
        self.process: subprocess.Popen[bytes] | None = None
        given = {
            "data_dir": data_dir,
            "port": self.port,
            "project_token": TOKEN,
            "secret_key": SECRET_KEY,
            **settings,
        }
        self.environment = {
            **{name: value for name, value in os.environ.items() if "FLAGSTREAM_" not in name},
            **{f"FLAGSTREAM_{name.upper()}": str(value) for name, value in given.items()},
        }

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        until(self.is_ready, START_TIMEOUT_S)

    def launch(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, "serve"],
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def is_ready(self) -> bool:
        """Tell whether it answers; fails if it has ended."""
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended:\n{self.log.read_text()[-4_000:]}"
        try:
            return self.request("GET", "/_readiness").status == 200
        except (URLError, ConnectionError, TimeoutError):
            return False

    def kill(self) -> None:
        """Kill it without a warning."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT_S)

    def terminate(self) -> int:
        """Ask it to stop; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)

    def cli(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run ``flagstream`` with the settings of this server."""
        return subprocess.run(
            [sys.executable, "-m", "flagstream", *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request; *body* is bytes, or will be JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(  # noqa: S310 -- our own server
            self.url + path,
            data=data,
            method=method,
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        try:
            with urlopen(request, timeout=_REQUEST_TIMEOUT_S) as response:  # noqa: S310
                return Answer(response.status, response.headers, _decode(response.read()))
        except HTTPError as error:
            with error:
                return Answer(error.code, error.headers, _decode(error.read()))

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Use the management API of the default project; fails unless it answers 2xx."""
        answer = self.request(
            method,
            f"/api/projects/@current/{path}",
            body,
            {"Authorization": f"Bearer {SECRET_KEY}"},
        )
        assert answer.status in (200, 201), answer
        return answer.body

    def create_flag(self, key: str, filters: Mapping[str, Any], **members: Any) -> None:
        """Add a flag; once this returns, requests see it."""
        self.api("POST", "feature_flags/", {"key": key, "filters": filters, **members})

    def capture(self, *events: Mapping[str, Any]) -> None:
        """Send events, and wait until requests see what they change."""
        answer = self.request("POST", "/batch/?wait=1", {"api_key": TOKEN, "batch": events})
        assert answer.status == 200, answer
        assert answer.body.get("applied", True), answer

    def set_group(self, group_type: str, key: str | int, **properties: Any) -> None:
        """Set properties of a group."""
        self.capture(
            {
                "event": "$groupidentify",
                "distinct_id": f"{group_type}-{key}",
                "properties": {
                    "$group_type": group_type,
                    "$group_key": key,
                    "$group_set": properties,
                },
            }
        )

    def group(self, group_type: str, key: str) -> dict[str, Any] | None:
        """Read the properties of a group; None where it was never seen."""
        query = urlencode({"group_type_index": self._index(group_type), "group_key": key})
        answer = self.request(
            "GET",
            f"/api/projects/@current/groups/find?{query}",
            headers={"Authorization": f"Bearer {SECRET_KEY}"},
        )
        assert answer.status in (200, 404), answer
        return answer.body["group_properties"] if answer.status == 200 else None

    def _index(self, group_type: str) -> int:
        types = {t["group_type"]: t["group_type_index"] for t in self.api("GET", "groups_types/")}
        return types.get(group_type, 0)

    def group_keys(self) -> set[str]:
        """List the groups of the first type that was seen; empty before there is one."""
        if not self.api("GET", "groups_types/"):
            return set()
        groups = self.api("GET", "groups/?group_type_index=0")["results"]
        return {group["group_key"] for group in groups}

    def flags(
        self, distinct_id: str, groups: Mapping[str, Any] | None = None, **members: Any
    ) -> dict[str, Any]:
        """Ask for the flags of a person, by flag key."""
        body = {"token": TOKEN, "distinct_id": distinct_id, "groups": groups or {}, **members}
        answer = self.request("POST", "/flags/?v=2", body)
        assert answer.status == 200, answer
        flags: dict[str, Any] = answer.body["flags"]
        return flags


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
