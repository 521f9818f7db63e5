"""The management API of a running server, as the command line uses it."""

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote as quote_path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from flagstream.errors import FlagstreamError, quote
from flagstream.state.definitions import Kind

_TIMEOUT_S = 30
_PAGE = 1_000
_PATHS = {Kind.FLAG: "feature_flags", Kind.COHORT: "cohorts"}
Document = dict[str, Any]


class ServerError(FlagstreamError):
    """The server refused a request or was not reached; the message says which and why."""


class Client:
    """A holder of a secret key who talks to a server."""

    def __init__(self, url: str, secret_key: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise ServerError(f"--url: expected http://HOST:PORT, got {quote(url)}")
        self._url = url.rstrip("/")
        self._secret_key = secret_key

    def flags(self) -> Iterator[Document]:
        """Read all flags that are not deleted."""
        return self._rows(_PATHS[Kind.FLAG])

    def cohorts(self) -> Iterator[Document]:
        """Read all cohorts that are not deleted; static ones with their members."""
        for row in self._rows(_PATHS[Kind.COHORT]):
            yield self._request("GET", f"cohorts/{row['id']}/") if row["is_static"] else row

    def schedules(self, flag: str | None) -> Iterator[Document]:
        """Read what is to come, the newest first; of a flag also what came or was ended."""
        return self._rows("schedules" if flag is None else _schedules(flag))

    def add_schedule(self, flag: str, body: Mapping[str, Any]) -> Document:
        """Plan changes of a flag."""
        planned: Document = self._request("POST", f"{_schedules(flag)}/", body)
        return planned

    def end_schedule(self, flag: str, schedule_id: str, action: str) -> Document:
        """Stop, revert or resume a schedule."""
        path = f"{_schedules(flag)}/{quote_path(schedule_id, safe='')}/{action}/"
        ended: Document = self._request("POST", path)
        return ended

    def _rows(self, path: str) -> Iterator[Document]:
        query: Document = {"limit": _PAGE, "offset": 0}
        while True:
            page = self._request("GET", f"{path}/?{urlencode(query)}")
            yield from page["results"]
            if page["next"] is None:
                return
            query["offset"] += _PAGE

    def project(self) -> Document:
        """Read the project's settings."""
        project: Document = self._request("GET", "")
        return project

    def group_types(self) -> Mapping[str, int]:
        """Read the indexes of the group types by their names."""
        types = self._request("GET", "groups_types/")
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

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = Request(  # noqa: S310 -- the constructor allows only HTTP
            f"{self._url}/api/projects/@current/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._secret_key}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310 -- as above
                document = json.load(response)
        except HTTPError as error:
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
