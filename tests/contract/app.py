"""A Faust app with one of flagstream's agents, and what it should make of its records."""

import asyncio
from collections.abc import Sequence

import faust

from flagstream.agents import Folding, register
from flagstream.agents.folding import FoldProgress
from flagstream.ports import Append, LogReader, Position
from flagstream.settings import Settings
from flagstream.state.merge import REDUCERS
from flagstream.topics import APP_ID, Table, version_of
from flagstream.transport.opening import OpenLog

READY_TIMEOUT_S = 60.0
TABLE = Table.GROUPS


class FoldedOffsets:
    """A :class:`flagstream.agents.folding.FoldProgress` that can be waited for."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[int, int]] = []
        self._folded = asyncio.Event()

    def folded(self, topic, partition, offset, changed_version):
        self.deliveries.append((partition, offset))
        self._folded.set()

    async def wait_for(self, positions: Sequence[Position]) -> None:
        """Wait until every one was folded since the start."""
        awaited = {(position.partition, position.offset) for position in positions}
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not awaited.issubset(self.deliveries):
                self._folded.clear()
                await self._folded.wait()


class App:
    """One life of the app: an asynchronous context manager, to be entered once."""

    def __init__(
        self,
        settings: Settings,
        log: OpenLog,
        table: Table = TABLE,
        progress: FoldProgress | None = None,
    ) -> None:
        self.progress = FoldedOffsets()
        self._app = faust.App(
            APP_ID,
            datadir=settings.data_dir / "tables",
            web_enabled=False,
            **log.faust_settings,
        )
        self._dead: list[Table] = []
        register(self._app, table, self._folding(settings, log, progress or self.progress))

    def _folding(self, settings: Settings, log: OpenLog, progress: FoldProgress) -> Folding:
        return Folding(
            partitions=settings.partitions,
            epoch=log.epoch,
            progress=progress,
            dead_letters=NoDeadLetters(),
            on_dead=self._dead.append,
        )

    async def __aenter__(self):
        await self._app.start()
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not self._app.tables.actives_ready:  # noqa: ASYNC110 -- Faust has no event for it
                await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *exc_info):
        await self._app.stop()

    def table(self) -> dict[bytes, bytes]:
        """Read the whole table."""
        return dict(self._app.tables[TABLE.value].items())


class NoDeadLetters:
    """A :class:`flagstream.ports.RecordSink` for records that can all be folded."""

    async def append(self, appends: Sequence[Append]) -> Sequence[Position]:
        raise AssertionError(appends)


def folded(history: Sequence[tuple[Append, Position]]) -> dict[bytes, bytes]:
    """Fold appended records without any log."""
    states: dict[bytes, bytes] = {}
    for append, position in sorted(history, key=lambda entry: entry[1]):
        version = version_of(0, position.offset)
        state = REDUCERS[TABLE].fold(states.get(append.key), append.value, version)
        assert state is not None
        states[append.key] = state
    return states


async def last_per_key(reader: LogReader, topic: str) -> dict[bytes, bytes | None]:
    """Read a whole topic; what compaction has to leave of it."""
    last: dict[bytes, bytes | None] = {}
    for partition, (start, end) in (await reader.bounds([topic])).items():
        for record in await reader.read(partition, start, end - start):
            last[record.key] = record.value
    return last
