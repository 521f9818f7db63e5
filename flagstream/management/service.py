"""Changes of definitions: checked, written to the log, and waited for until requests see them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any

from flagstream.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
    quote,
)
from flagstream.ports import (
    Append,
    Catalog,
    Position,
    Progress,
    ProjectSettings,
    ProjectSnapshot,
    RecordSink,
)
from flagstream.state.definitions import DefinitionUpdate, Kind
from flagstream.topics import Topic, record_key

from .rows import changed_row, new_row

_MAX_FLAGS = 10_000
_MAX_BODY_BYTES = 512 * 1024
_BUCKETINGS = ("murmur3", "sha1")
_MAX_NAME_CHARS = 400
Row = Mapping[str, Any]


class Management:
    """
    The service behind the API, the console and the command line.

    Changes of one project happen one after the other, each on top of the snapshot that holds the
    one before; with several processes that take writes, the log's order decides.
    """

    def __init__(
        self,
        catalog: Catalog,
        sink: RecordSink,
        progress: Progress,
        *,
        clock_ms: Callable[[], int],
        wait_timeout_s: float,
    ) -> None:
        self._catalog = catalog
        self._sink = sink
        self._progress = progress
        self._clock_ms = clock_ms
        self._wait_timeout_s = wait_timeout_s
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._latest: dict[int, Position] = {}

    async def create_flag(self, project_id: int, body: Row) -> Row:
        """
        Add a flag.

        Raises:
            InvalidRequestError: Naming what is wrong; ``unique`` where the key is taken.
            UnavailableError: The project's last change is not folded in yet.
        """
        async with self._changing(project_id) as snapshot:
            rows = snapshot.flag_rows
            row = new_row(
                body,
                flag_id=max((row["id"] for row in rows.values()), default=0) + 1,
                bucketing=snapshot.settings.bucketing,
                now_ms=self._clock_ms(),
            )
            if not rows.get(row["key"], {"deleted": True})["deleted"]:
                raise InvalidRequestError(
                    "There is already a feature flag with this key.", code="unique", attr="key"
                )
            if len(rows) >= _MAX_FLAGS and row["key"] not in rows:
                raise InvalidRequestError(f"A project has at most {_MAX_FLAGS} flags.")
            await self._write(project_id, Kind.FLAG, row["key"], row)
        return row

    async def update_flag(self, project_id: int, flag_id: int, body: Row) -> Row:
        """
        Change what *body* names of a flag; ``deleted`` among it deletes or restores.

        Raises:
            NotFoundError: There is no flag with this id.
            ConflictError: ``version`` in *body* is not the flag's present one.
            InvalidRequestError: Naming every member that is wrong.
        """
        async with self._changing(project_id) as snapshot:
            row = find_flag(snapshot, flag_id)
            if body.get("version", row["version"]) != row["version"]:
                raise ConflictError(
                    f"The flag was changed meanwhile: it has version {row['version']}.",
                    attr="version",
                )
            row = changed_row(row, body, now_ms=self._clock_ms())
            await self._write(project_id, Kind.FLAG, row["key"], row)
        return row

    async def update_settings(self, project_id: int, body: Row) -> ProjectSettings:
        """
        Change what *body* names of a project's settings.

        Raises:
            InvalidRequestError: Naming the member that is wrong.
        """
        async with self._changing(project_id) as snapshot:
            settings = replace(snapshot.settings, **_checked_settings(body))
            await self._write(project_id, Kind.PROJECT, str(project_id), asdict(settings))
        return settings

    @asynccontextmanager
    async def _changing(self, project_id: int) -> AsyncIterator[ProjectSnapshot]:
        async with self._locks[project_id]:
            latest = self._latest.get(project_id)
            if latest is not None and not await self._is_visible(latest):
                raise UnavailableError("The last change is not folded in yet.", retry_after_s=1)
            yield self._catalog.project(project_id)

    async def _write(self, project_id: int, kind: Kind, name: str, body: Row) -> None:
        """Append a definition; once durable it counts, whether or not requests see it in time."""
        update = DefinitionUpdate(time_ms=self._clock_ms(), body=dict(body)).to_bytes()
        if len(update) > _MAX_BODY_BYTES:
            raise InvalidRequestError(f"A definition has at most {_MAX_BODY_BYTES} bytes.")
        key = record_key(project_id, kind, name)
        (self._latest[project_id],) = await self._sink.append(
            [Append(Topic.DEFINITIONS, key, update)]
        )
        await self._is_visible(self._latest[project_id])

    async def _is_visible(self, position: Position) -> bool:
        return await self._progress.wait_visible([position], self._wait_timeout_s)


def find_flag(snapshot: ProjectSnapshot, flag_id: int) -> Row:
    """
    Find a flag by its id, deleted or not.

    Raises:
        NotFoundError: There is none.
    """
    for row in snapshot.flag_rows.values():
        if row["id"] == flag_id:
            return row
    raise NotFoundError(f"There is no feature flag with id {flag_id}.")


def _checked_settings(body: Row) -> dict[str, Any]:
    expected = {
        "name": (f"a text of 1 to {_MAX_NAME_CHARS} characters", _is_name),
        "bucketing": (f"one of {', '.join(_BUCKETINGS)}", _BUCKETINGS.__contains__),
        "remember_active_groups": ("true or false", lambda value: isinstance(value, bool)),
    }
    for name, value in body.items():
        if name not in expected:
            raise InvalidRequestError(f"{name}: there is no such setting", attr=name)
        what, accepts = expected[name]
        if not accepts(value):
            raise InvalidRequestError(f"{name}: expected {what}, got {quote(value)}", attr=name)
    return dict(body)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME_CHARS
