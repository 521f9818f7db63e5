"""Definitions written to the log, and waited for until requests see them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from flagstream.errors import InvalidRequestError, UnavailableError
from flagstream.ports import Append, Catalog, Position, Progress, ProjectSnapshot, RecordSink
from flagstream.state.definitions import DefinitionUpdate, Kind
from flagstream.topics import Topic, record_key

from .bodies import Row

_MAX_BODY_BYTES = 512 * 1024

# Keeps other processes out, and yields what they have written last.
Turn = Callable[[], AbstractAsyncContextManager[Sequence[Position]]]


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
        turn: Turn,
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

    async def write(self, project_id: int, kind: Kind, name: str, body: Row) -> None:
        """
        Append a definition; once durable it counts, whether or not requests see it in time.

        Raises:
            InvalidRequestError: It is too large.
        """
        update = DefinitionUpdate(time_ms=self._clock_ms(), body=dict(body)).to_bytes()
        if len(update) > _MAX_BODY_BYTES:
            raise _too_large(body)
        key = record_key(project_id, kind, name)
        positions = await self._sink.append([Append(Topic.DEFINITIONS, key, update)])
        self._latest[project_id] = positions
        await self._are_visible(positions)

    async def _are_visible(self, positions: Sequence[Position]) -> bool:
        return await self._progress.wait_visible(positions, self._wait_timeout_s)


def _too_large(body: Row) -> InvalidRequestError:
    detail = f"A definition has at most {_MAX_BODY_BYTES} bytes."
    if not body.get("is_static"):
        return InvalidRequestError(detail)
    return InvalidRequestError(f"The static cohort has too many members. {detail}", attr="members")
