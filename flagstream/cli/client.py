"""The management API of a running server, as the command line uses it."""

import http.client
import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from time import sleep
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote as quote_path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from flagstream.errors import FlagstreamError, quote
from flagstream.state.access import Scope
from flagstream.state.definitions import Kind

_TIMEOUT_S = 60  # a preview of millions takes a while
_MAX_WAIT_S = 60
_PAGE = 1_000
_PATHS = {Kind.FLAG: "feature_flags", Kind.COHORT: "cohorts"}
Document = dict[str, Any]


class ServerError(FlagstreamError):
    """The server refused a request or was not reached; the message says which and why."""


class _LimitedError(Exception):
    """
    The project has used up its rate, which many changes in a row do.

    Attributes:
        wait_s: After which it has not.
    """

    def __init__(self, error: HTTPError) -> None:
        wait = error.headers.get("Retry-After") or ""
        self.wait_s = min(int(wait) if wait.isdecimal() else 1, _MAX_WAIT_S)


class Client:
    """A holder of a secret key who talks to a server about one project, and the operator of all."""

    def __init__(self, url: str, secret_key: str, project: int | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ServerError(f"--url: expected http://HOST:PORT, got {quote(url)}")
        self._url = url.rstrip("/")
        self._secret_key = secret_key
        self._project = "@current" if project is None else str(project)

    def flags(self) -> Iterator[Document]:
        """Read all flags that are not deleted."""
        return self._rows(Kind.FLAG)

    def cohorts(self) -> Iterator[Document]:
        """
        Read all cohorts that are not deleted; static ones with their members.

        Raises:
            ServerError: The key is not told the members.
        """
        for row in self._rows(Kind.COHORT):
            yield self._with_members(row["id"]) if row["is_static"] else row

    def _with_members(self, cohort_id: int) -> Document:
        row = self._request("GET", f"cohorts/{cohort_id}/")
        if "members" not in row:
            raise ServerError(
                f"{self._url} tells the members of cohort {cohort_id} to keys with the scope "
                f"{Scope.FLAGS_WRITE}, which this one lacks"
            )
        return row

    def schedules(self, flag: str | None) -> Iterator[Document]:
        """Read what is to come, the newest first; of a flag also what came or was ended."""
        return self._pages(self._path(f"{'schedules' if flag is None else _schedules(flag)}/"))

    def add_schedule(self, flag: str, body: Mapping[str, Any]) -> Document:
        """Plan changes of a flag."""
        return self._request("POST", f"{_schedules(flag)}/", body)

    def end_schedule(self, flag: str, schedule_id: str, action: str) -> Document:
        """Stop, revert or resume a schedule."""
        path = f"{_schedules(flag)}/{quote_path(schedule_id, safe='')}/{action}/"
        return self._request("POST", path)

    def _rows(self, kind: Kind) -> Iterator[Document]:
        return self._pages(self._path(f"{_PATHS[kind]}/"))

    def _pages(self, path: str) -> Iterator[Document]:
        query: Document = {"limit": _PAGE, "offset": 0}
        while True:
            page = self._send("GET", f"{path}?{urlencode(query)}")
            yield from page["results"]
            if page["next"] is None:
                return
            query["offset"] += _PAGE

    def project(self) -> Document:
        """Read the project's settings."""
        return self._request("GET", "")

    def group_types(self) -> Mapping[str, int]:
        """Read the indexes of the group types by their names."""
        types: Any = self._request("GET", "groups_types/")
        return {each["group_type"]: each["group_type_index"] for each in types}

    def add_group_type(self, name: str) -> int:
        """Add a group type, unless there is one of this name; tells its index."""
        added = self._request("POST", "groups_types/", {"group_type": name})
        index: int = added["group_type_index"]
        return index

    def create(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """Add a flag or a cohort."""
        self._request("POST", f"{_PATHS[kind]}/", body)

    def update(self, kind: Kind, row_id: int, body: Mapping[str, Any]) -> None:
        """Change members of a flag or a cohort."""
        self._request("PATCH", f"{_PATHS[kind]}/{row_id}/", body)

    def explain(self, body: Mapping[str, Any]) -> Document:
        """Explain what a flag answers."""
        return self._request("POST", "flags/explain/", body)

    def preview(self, body: Mapping[str, Any]) -> Document:
        """Tell what a change of a flag would do."""
        return self._request("POST", "flags/preview/", body)

    def preview_names(self, body: Mapping[str, Any], name: str) -> Iterator[Document]:
        """Read a whole list of what a change of a flag would do."""
        after = None
        while True:
            page = self.preview({**body, "list": name, "after": after, "limit": _PAGE})
            yield from page["results"]
            after = page["next_after"]
            if after is None:
                return

    def dead_letters(self) -> Iterator[Document]:
        """Read all dead letters, oldest first."""
        query: Document = {}
        while True:
            page = self._request("GET", f"dead_letters/?{urlencode(query)}")
            yield from page["results"]
            if page["next_after"] is None:
                return
            query["after"] = page["next_after"]

    def replay(self, ids: list[str]) -> int:
        """Fold dead letters once more; tells how many there were."""
        replayed: int = self._request("POST", "dead_letters/replay/", {"ids": ids})["replayed"]
        return replayed

    def warnings(self) -> Iterator[Document]:
        """Read what was cut, dropped or refused of what clients sent, the last seen first."""
        return self._pages(self._path("ingestion_warnings/"))

    def secret_keys(self) -> Iterator[Document]:
        """Read all secret keys, the newest first."""
        return self._pages(self._path("keys/"))

    def create_key(self, body: Mapping[str, Any]) -> Document:
        """Make a secret key; the answer alone has it whole."""
        return self._request("POST", "keys/", body)

    def rotate_key(self, key_id: str, overlap_s: float) -> Document:
        """Make a key like another one, likewise."""
        return self._request("POST", f"keys/{quote_path(key_id)}/rotate/", {"overlap_s": overlap_s})

    def revoke_key(self, key_id: str) -> None:
        """End a key."""
        self._request("DELETE", f"keys/{quote_path(key_id)}/")

    def projects(self) -> Iterator[Document]:
        """Read all projects that the key opens."""
        return self._pages("/api/projects/")

    def create_project(self, body: Mapping[str, Any]) -> Document:
        """Add a project."""
        return self._send("POST", "/api/projects/", body)

    def archive_project(self, project_id: int, *, is_archived: bool) -> None:
        """Refuse the tokens and keys of a project, or take them again."""
        action = "archive" if is_archived else "unarchive"
        self._send("POST", f"/api/projects/{project_id}/{action}/")

    def rotate_token(self, overlap_s: float) -> Document:
        """Give the project another public token."""
        return self._request("POST", "token/rotate/", {"overlap_s": overlap_s})

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Document:
        return self._send(method, self._path(path), body)

    def _path(self, path: str) -> str:
        return f"/api/projects/{self._project}/{path}"

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Document:
        while True:
            try:
                return self._answer(method, path, body)
            except _LimitedError as error:
                sleep(error.wait_s)

    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None) -> Document:
        request = Request(  # noqa: S310 -- the constructor allows only HTTP
            f"{self._url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._secret_key}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310 -- as above
                document: Document = json.load(response)
        except HTTPError as error:
            if error.code == HTTPStatus.TOO_MANY_REQUESTS:
                raise _LimitedError(error) from None
            raise ServerError(f"{self._url} answered {error.code}: {_detail(error)}") from None
        except (URLError, OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ServerError(f"{self._url} does not answer as flagstream does: {reason}") from None
        return document


def _schedules(flag: str) -> str:
    return f"feature_flags/{quote_path(flag, safe='')}/schedule"


def _detail(error: HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, TypeError, KeyError, OSError):
        return str(error.reason)
