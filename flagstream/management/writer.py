"""Definitions written to the log, and waited for until requests see them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

from uuid_utils import uuid7

from flagstream.errors import InvalidRequestError, UnavailableError
from flagstream.ports import Append, Catalog, Position, Progress, ProjectSnapshot, RecordSink
from flagstream.state.definitions import DefinitionUpdate, Kind
from flagstream.state.history import DefinitionChange
from flagstream.topics import Topic, record_key

from .bodies import MEMBERS, Row

_MAX_BODY_BYTES = 512 * 1024

# Keeps other processes out, and yields what they have written last.
Turn = Callable[[], AbstractAsyncContextManager[Sequence[Position]]]


class Editor(NamedTuple):
    """
    Who changes definitions.

    Attributes:
        project_id: Whose.
        author: What history shows of the key that the change was made with.
    """

    project_id: int
    author: str


@asynccontextmanager
async def alone() -> AsyncIterator[Sequence[Position]]:
    """Keep nobody out: where there is no other process."""
    yield ()


class DefinitionsWriter:
    """
    The only one that writes definitions.

    Changes of one project happen one after the other, each on top of the snapshot that holds the
    one before; with several nodes that take writes, the log's order decides.
    """

    def __init__(
        self,
        catalog: Catalog,
        sink: RecordSink,
        progress: Progress,
        *,
        turn: Turn = alone,
        clock_ms: Callable[[], int],
        wait_timeout_s: float,
    ) -> None:
        self._catalog = catalog
        self._sink = sink
        self._progress = progress
        self._turn = turn
        self._clock_ms = clock_ms
        self._wait_timeout_s = wait_timeout_s
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._latest: dict[int, Sequence[Position]] = {}

    @asynccontextmanager
    async def changing(self, project_id: int) -> AsyncIterator[ProjectSnapshot]:
        """
        Keep other changes of a project out for as long as one is made, on top of this snapshot.

        Raises:
            UnavailableError: The project's last change is not folded in yet.
        """
        async with self._locks[project_id], self._turn() as known:
            latest = [*known, *self._latest.get(project_id, ())]
            if latest and not await self._are_visible(latest):
                raise UnavailableError("The last change is not folded in yet.", retry_after_s=1)
            yield self._catalog.project(project_id)

    async def write(
        self, editor: Editor, kind: Kind, name: str, body: Row, *, change_id: str | None = None
    ) -> None:
        """
        Append a definition, and the change to its history; once durable it counts, whether or not
        requests see it in time.

        Args:
            change_id: Of a change that others may make as well: history keeps it once.

        Raises:
            InvalidRequestError: It is too large.
        """
        now_ms = self._clock_ms()
        definition = definition_of(editor.project_id, kind, name, body, now_ms)
        if len(definition.value) > _MAX_BODY_BYTES:
            raise _too_large(body)
        change = change_of(editor, kind, name, body, now_ms, change_id=change_id)
        await self.append(editor.project_id, [change, definition])

    async def append(self, project_id: int, appends: Sequence[Append]) -> bool:
        """Append what definitions and histories are made of; tells whether it was seen in time."""
        positions = await self._sink.append(appends)
        self._latest[project_id] = positions
        return await self._are_visible(positions)

    async def _are_visible(self, positions: Sequence[Position]) -> bool:
        return await self._progress.wait_visible(positions, self._wait_timeout_s)


def definition_of(project_id: int, kind: Kind, name: str, body: Row, now_ms: int) -> Append:
    """Make the record of a definition."""
    update = DefinitionUpdate(time_ms=now_ms, body=dict(body)).to_bytes()
    return Append(Topic.DEFINITIONS, record_key(project_id, kind, name), update)


def change_of(
    editor: Editor, kind: Kind, name: str, body: Row, now_ms: int, *, change_id: str | None = None
) -> Append:
    """
    Make the record of a change.

    Args:
        change_id: One that is new, and later than all others, where it is not given.
    """
    change = DefinitionChange(time_ms=now_ms, author=editor.author, body=_remembered(body))
    # Ordered by time, so that a history reads in the order of its keys.
    key = record_key(editor.project_id, kind, name, change_id or str(uuid7()))
    return Append(Topic.DEFINITION_CHANGES, key, change.to_bytes())


def _remembered(body: Row) -> dict[str, Any]:
    """Leave out what is no definition: the members of a static cohort, of which there are many."""
    return {name: value for name, value in body.items() if name != MEMBERS}


def _too_large(body: Row) -> InvalidRequestError:
    detail = f"A definition has at most {_MAX_BODY_BYTES} bytes."
    if not body.get("is_static"):
        return InvalidRequestError(detail)
    return InvalidRequestError(f"The static cohort has too many members. {detail}", attr="members")
