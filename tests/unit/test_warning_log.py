"""What was cut or refused: counted in a process, written now and then, read back by all."""

import asyncio

import pytest

from flagstream import warning_log
from flagstream.errors import LogUnavailableError
from flagstream.ports import IngestionWarning, Position
from flagstream.topics import Topic, partition_of, record_key
from flagstream.tracing import belonging, traceparent
from flagstream.warning_kinds import WarningKind
from flagstream.warning_log import WarningLog
from tests.fakes.log import FakeLog

HOUR_MS = 3_600_000
NOW_MS = 1_764_000_000_000


class Sink:
    """Writes to a log in memory, unless it takes no writes."""

    def __init__(self, log):
        self.log = log
        self.is_down = False
        self.records = 0
        self.traces = set()

    async def append(self, appends):
        await asyncio.sleep(0)
        self.traces.add(traceparent())
        if self.is_down:
            raise LogUnavailableError("disk full")
        self.records += len(appends)
        positions = []
        for topic, key, value in appends:
            partition = partition_of(key, self.log.partitions)
            offset = self.log.append(topic, key, value, partition)
            positions.append(Position(topic, partition, offset))
        return positions


class Node:
    """A process; all of a test write to one log."""

    def __init__(self, log):
        self.now_ms = NOW_MS
        self.sink = Sink(log)
        self.warnings = WarningLog(
            log,
            self.sink,
            clock_ms=lambda: self.now_ms,
            clock_s=lambda: self.now_ms / 1_000,
        )

    def add(self, kind=WarningKind.ID_CUT, project_id=1, count=1, **members):
        facts = {
            "field": "distinct_id",
            "expected": "at most 200 characters",
            "got": "201",
            **members,
        }
        self.warnings.add(project_id, IngestionWarning(kind=kind, **facts), count)

    async def counts(self, project_id=1):
        found = await self.warnings.summaries(project_id)
        return {each.kind: (each.count_24h, each.count) for each in found}


@pytest.fixture
def log():
    return FakeLog(partitions=3)


@pytest.fixture
async def nodes(log, monkeypatch):
    """Two processes that write at once what is due."""
    monkeypatch.setattr(warning_log, "FIRST_FLUSH_S", 0.0)
    made = [Node(log), Node(log)]
    yield made
    for node in made:
        await node.warnings.close()


async def written(node):
    """Wait until nothing is written any more that is due."""
    for _ in range(20):
        await asyncio.sleep(0)


class TestTraces:
    async def test_of_no_request(self, nodes):
        """
        What is written is part of no trace: who comes later is counted with who came first.
        """
        with belonging("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
            nodes[0].add()
        nodes[0].now_ms += 10_000
        await written(nodes[0])

        assert {""} == nodes[0].sink.traces


class TestSummaries:
    async def test_of_all_processes(self, log, nodes):
        """
        Every process tells what all have counted, by kinds, and what it has counted itself at once.
        """
        one, other = nodes
        one.add()
        one.add(WarningKind.EVENTS_RATE_LIMITED, count=50)
        await one.counts()
        other.add(count=2)
        other.now_ms += 1_000
        other.add(count=3)

        expected = {WarningKind.ID_CUT: (6, 6), WarningKind.EVENTS_RATE_LIMITED: (50, 50)}
        assert expected == await other.counts()
        assert expected == await one.counts()
        summary = (await one.warnings.summaries(1))[0]
        assert (WarningKind.ID_CUT, NOW_MS, NOW_MS + 1_000) == (
            summary.kind,
            summary.first_ms,
            summary.last_ms,
        )

    async def test_of_one_project(self, nodes):
        """
        A project's warnings are shown to nobody else, whichever partition they share.
        """
        one, other = nodes
        for project_id in range(1, 20):
            one.add(project_id=project_id, count=project_id)

        for project_id in range(1, 20):
            assert {WarningKind.ID_CUT: (project_id,) * 2} == await one.counts(project_id)
        assert {WarningKind.ID_CUT: (7, 7)} == await other.counts(7)
        assert {} == await other.counts(99)

    async def test_a_day(self, nodes):
        """
        What is older than a day counts, but not as of the last day.
        """
        one, _ = nodes
        for hours in (0, 1, 23):
            one.now_ms = NOW_MS + hours * HOUR_MS
            one.add()
            await one.counts()
        seen = []
        for hours in (23, 24, 25, 47, 72):
            one.now_ms = NOW_MS + hours * HOUR_MS
            seen.append((await one.counts())[WarningKind.ID_CUT])

        assert [(3, 3), (2, 3), (1, 3), (0, 3), (0, 3)] == seen

    async def test_samples(self, nodes):
        """
        The newest ten samples are shown, and no text of theirs is long.
        """
        one, _ = nodes
        for number in range(30):
            one.now_ms += 1
            one.add(event=f"event {number}", distinct_id="x" * 500, field="f" * 500)
            await one.counts()
        (summary,) = await one.warnings.summaries(1)

        assert [f"event {number}" for number in range(29, 19, -1)] == [
            each.event for each in summary.samples
        ]
        assert {("f" * 200, "x" * 200)} == {
            (each.field, each.distinct_id) for each in summary.samples
        }

    async def test_unknown_kinds(self, log, nodes):
        """
        What a later release counts, and what is no record, is passed over.
        """
        one, _ = nodes
        key = record_key(1)
        for value in (b'{"kind":"later","count":1,"first_ms":1,"last_ms":1}', b"{", b""):
            log.append(Topic.INGESTION_WARNINGS, key, value, partition_of(key, 3))
        one.add()

        assert {WarningKind.ID_CUT: (1, 1)} == await one.counts()


class TestWriting:
    async def test_a_flood_is_few_records(self, nodes):
        """
        Of a kind a process writes one record, and the next a minute later, with all that came.
        """
        one, other = nodes
        for _ in range(10_000):
            one.add()
        await written(one)
        first = one.sink.records
        for _ in range(59):
            one.now_ms += 1_000
            one.add(count=100)
            await written(one)
        within = one.sink.records
        one.now_ms += 1_000
        await written(one)

        assert (1, 1, 2) == (first, within, one.sink.records)
        assert {WarningKind.ID_CUT: (15_900, 15_900)} == await other.counts()

    async def test_log_is_down(self, nodes):
        """
        What cannot be written is kept, and written once the log takes it.
        """
        one, other = nodes
        one.sink.is_down = True
        one.add(count=3, event="first")
        await written(one)
        with pytest.raises(LogUnavailableError):
            await one.counts()
        one.add(count=4)
        one.sink.is_down = False

        assert {WarningKind.ID_CUT: (7, 7)} == await one.counts()
        (summary,) = await other.warnings.summaries(1)
        assert ["first", None] == sorted(
            (each.event for each in summary.samples), key=lambda event: event is None
        )

    async def test_close(self, log, nodes):
        """
        A process that stops writes what it has counted.
        """
        one, other = nodes
        one.add(count=3)
        await written(one)
        one.add(count=4)
        await one.warnings.close()

        assert {WarningKind.ID_CUT: (7, 7)} == await other.counts()

    async def test_bounded(self, nodes):
        """
        However many projects there are, what waits is bounded.
        """
        one, _ = nodes
        one.sink.is_down = True
        for project_id in range(10_001):
            one.add(project_id=project_id)
        one.sink.is_down = False

        assert {} == await one.counts(10_000)
        assert {WarningKind.ID_CUT: (1, 1)} == await one.counts(9_999)
