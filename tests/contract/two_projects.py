"""A running server with two projects of the same names, whose contents are all marked."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import quote

import requests

from flagstream.state.access import Scope
from tests.server import SECRET_KEY, TOKEN, Server
from tests.waiting import until

MARKS = {1: "mark-of-the-first", 2: "mark-of-the-second"}
UUID = "0190b9a0-0000-7000-8000-000000000001"
SESSION = "0190b9a0-0000-7000-8000-00000000000a"


class TwoProjects:
    """
    What tests ask.

    Attributes:
        tokens: Public ones, by project.
        keys: Secret ones, by project and by the one scope that they have.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.session = requests.Session()
        made = self.operate("POST", "/api/projects/", {"name": MARKS[2]}).json()
        assert 2 == made["id"]
        self.tokens = {1: TOKEN, 2: made["api_token"]}
        self.keys = {
            project: {scope: self.make_key(project, scope)["secret"] for scope in Scope}
            for project in MARKS
        }
        for project in MARKS:
            self._fill(project)

    def ask(self, method: str, path: str, key: str = "", body: Any = None) -> requests.Response:
        """Ask with a key; "" for none. Of what does not end, only the beginning is taken."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = self.server.url + path
        response = self.session.request(
            method, url, json=body, headers=headers, timeout=15, stream=True
        )
        if response.headers.get("Content-Type") == "text/event-stream":
            response.close()
        # Read here, so that the connection is free for the next.
        _ = response.content
        return response

    def operate(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Ask with the operator's key; fails unless it is let in."""
        response = self.ask(method, path, SECRET_KEY, body)
        assert response.status_code < 300, response.text
        return response

    def make_key(self, project: int, scope: str, **members: Any) -> dict[str, Any]:
        """Make a key to a project."""
        wanted = {"label": f"{scope} of {project}", "scopes": [scope], **members}
        made: dict[str, Any] = self.operate("POST", f"/api/projects/{project}/keys/", wanted).json()
        return made

    @cached_property
    def revoked(self) -> str:
        """A key to everything of the first project that was revoked."""
        made = self.make_key(1, Scope.PROJECT_ADMIN)
        path = "/api/projects/1/"
        assert 200 == self.ask("GET", path, made["secret"]).status_code
        self.operate("DELETE", f"/api/projects/1/keys/{made['id']}/")
        return str(made["secret"])

    @cached_property
    def expired(self) -> str:
        """A key to everything of the first project whose time has come."""
        at = datetime.now(UTC) + timedelta(seconds=1.5)
        made = self.make_key(1, Scope.PROJECT_ADMIN, expires_at=at.isoformat())
        assert 200 == self.ask("GET", "/api/projects/1/", made["secret"]).status_code
        until(lambda: 401 == self.ask("GET", "/api/projects/1/", made["secret"]).status_code)
        return str(made["secret"])

    @cached_property
    def guessed(self) -> str:
        """A key with the id of another one."""
        return self.keys[1][Scope.PROJECT_ADMIN][:-1] + "~"

    def contents(self, project: int) -> str:
        """All that a project holds, as it is listed, but for what follows from asking for it."""
        paths = ["feature_flags", "cohorts", "persons", "events", "groups_types", "activity"]
        paths += ["groups?group_type_index=0", "groups?group_type_index=1", "persons/user-1"]
        paths += ["feature_flags/1", "feature_flags/1/activity", "cohorts/1", "cohorts/1/persons"]
        return "\n".join(
            self.operate("GET", f"/api/projects/{project}/{path}").text for path in paths
        )

    def evaluated(self, project: int, **members: Any) -> dict[str, Any]:
        """The flags of a user."""
        body = {"token": self.tokens[project], "distinct_id": "user-1", **members}
        answer = self.ask("POST", "/flags/?v=2", body=body)
        assert 200 == answer.status_code, answer.text
        flags: dict[str, Any] = answer.json()["flags"]
        return flags

    def capture(self, project: int, *events: dict[str, Any]) -> None:
        """Send events, and wait until flags are answered from them."""
        body = {"api_key": self.tokens[project], "batch": events}
        answer = self.ask("POST", "/batch/?wait=1", body=body)
        assert 200 == answer.status_code, answer.text

    def _fill(self, project: int) -> None:
        mark, root = MARKS[project], f"/api/projects/{project}"
        self.operate("PATCH", f"{root}/", {"name": mark})
        self.capture(project, *_events(project))
        payloads = {"true": f'"{mark}"'}
        plan = {"key": "plan", "type": "group", "group_type_index": 0, "value": [mark]}
        self.operate(
            "POST",
            f"{root}/feature_flags/",
            {
                "key": "beta",
                "name": mark,
                "filters": {
                    "aggregation_group_type_index": 0,
                    "groups": [{"properties": [{**plan, "operator": "exact"}]}],
                    "payloads": payloads,
                },
            },
        )
        self.operate(
            "POST",
            f"{root}/feature_flags/",
            {
                "key": "limits",
                "is_remote_configuration": True,
                "filters": {"groups": [{"rollout_percentage": 100}], "payloads": payloads},
            },
        )
        members = [f"member-{mark}"]
        cohort = {"name": mark, "is_static": True, "members": members, "group_type_index": None}
        self.operate("POST", f"{root}/cohorts/", cohort)
        self.operate("PATCH", f"{root}/feature_flags/1/", {"name": f"{mark} again"})
        bad = {"event": "$groupidentify", "distinct_id": mark, "properties": {}}
        self.capture(project, bad, {"event": "good", "distinct_id": "user-1"})


def _events(project: int) -> Iterator[dict[str, Any]]:
    """What a product sends: the same ids, keys and names in both projects, with types swapped."""
    mark = MARKS[project]
    types = ["organization", "project"][:: 1 if project == 1 else -1]
    for group_type in types:
        yield {
            "event": "$groupidentify",
            "distinct_id": "user-1",
            "properties": {
                "$group_type": group_type,
                "$group_key": "acme",
                "$group_set": {"plan": mark, "kind": group_type},
            },
        }
    yield {
        "event": mark,
        "uuid": UUID,
        "distinct_id": "user-1",
        "properties": {
            "$groups": {types[0]: "acme"},
            "$session_id": SESSION,
            "$set": {"owner": mark},
        },
    }
    if project == 1:
        merged = {"$anon_distinct_id": "anon-1"}
        yield {"event": "$identify", "distinct_id": "user-1", "properties": merged}
    else:
        yield {"event": "seen", "distinct_id": "anon-1", "$set": {"owner": mark}}


def address(path: str, project: str) -> str:
    """Fill in what stands in a path: things that there are, and keys that there are not."""
    given = {
        "project": project,
        "id": "1",
        "key": "limits",
        "key_id": "1-0123456789abcdef",
        "distinct_id": "user-1",
        "token": TOKEN,
        "name": "array.js",
        "version": "1",
        "flag": "limits",
        "schedule": "nothing",
    }
    for name, value in given.items():
        path = path.replace(f"{{{name}}}", quote(value))
    assert "{" not in path, path
    named = "group_type_index=0&group_key=acme&key=plan&distinct_id=user-1"
    return f"{path}?{named}&_={time.time_ns()}"
