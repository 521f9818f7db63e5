"""What agents, followers and capture rely on, whichever log there is."""

import asyncio
import itertools
import shutil
from contextlib import aclosing

import pytest

from flagstream.ports import Append, TopicPartition
from flagstream.state.groups import GroupUpdate
from flagstream.topics import Topic, partition_of, record_key

from .app import TABLE, App, folded, last_per_key

TIMEOUT_S = 30.0
KEYS = 20
PAUSE_S = 0.01


def updates(keys, rounds, *, start=0):
    """Updates of several groups, in turns: each sets one property of its own and a shared one."""
    return [
        Append(
            TABLE.source,
            record_key(1, "organization", f"org:{number}"),
            GroupUpdate(
                time_ms=turn, uuid=f"{number}-{turn}", set={f"p{turn % 7}": turn, "last": turn}
            ).to_bytes(),
        )
        for turn in range(start, start + rounds)
        for number in range(keys)
    ]


async def append(log, appends):
    """Append in requests of ten records; remember what was acknowledged."""
    history = []
    for first in range(0, len(appends), 10):
        request = appends[first : first + 10]
        history += zip(request, await log.open.sink.append(request), strict=True)
    return history


def positions(history):
    return [position for _, position in history]


async def follow(log, starts, count):
    """Follow until so many records were seen."""
    records = []
    async with asyncio.timeout(TIMEOUT_S), aclosing(log.open.reader.follow(starts)) as batches:
        async for batch in batches:
            assert batch
            records += batch
            if len(records) >= count:
                return records
    raise AssertionError


class TestLog:
    """The contract."""

    async def test_positions_are_in_order_and_contiguous(self, log):
        """
        An append answers with positions in its own order; each partition counts from 0 up.
        """
        history = await append(log, updates(8, 10))

        for partition in range(log.settings.partitions):
            offsets = [at.offset for at in positions(history) if at.partition == partition]
            assert list(range(len(offsets))) == offsets
        assert {partition_of(record.key, 3) == at.partition for record, at in history} == {True}

    async def test_one_key_one_partition(self, log):
        """
        All records of a key go to the partition that its hash names.
        """
        history = await append(log, updates(20, 2))

        for record, position in history:
            assert partition_of(record.key, log.settings.partitions) == position.partition

    async def test_bounds(self, log):
        """
        The bounds are the first offset kept and the next to be written.
        """
        history = await append(log, updates(5, 4))
        written = [position.partition for position in positions(history)]

        bounds = await log.open.reader.bounds([TABLE.source, Topic.EVENTS])

        for partition in range(log.settings.partitions):
            assert (0, written.count(partition)) == bounds[TABLE.source, partition]
            assert (0, 0) == bounds[Topic.EVENTS, partition]

    @pytest.mark.parametrize("start", [0, 3])
    async def test_follow_from_anywhere(self, log, start):
        """
        A follower sees every record from its positions on, once, in the order of each partition.
        """
        history = await append(log, updates(6, 5))
        starts = {TopicPartition(TABLE.source, number): start for number in range(3)}
        wanted = {at: record for record, at in history if at.offset >= start}

        records = await follow(log, starts, len(wanted))

        seen = {(r.topic, r.partition, r.offset): (r.key, r.value) for r in records}
        assert {at: (record.key, record.value) for at, record in wanted.items()} == seen
        assert len(wanted) == len(records)
        for number in range(3):
            offsets = [record.offset for record in records if record.partition == number]
            assert sorted(offsets) == offsets

    async def test_follow_sees_what_comes(self, log):
        """
        A follower that is at the end gets what is appended then.
        """
        starts = {TopicPartition(TABLE.source, number): 0 for number in range(3)}
        following = asyncio.create_task(follow(log, starts, 10))

        history = await append(log, updates(10, 1))
        records = await following

        assert {at.offset for at in positions(history)} == {record.offset for record in records}

    async def test_read_is_limited(self, log):
        """
        A read gives what is there from an offset on, and not more than asked for.
        """
        await append(log, updates(1, 9))
        [partition] = [
            place
            for place, (_, end) in (await log.open.reader.bounds([TABLE.source])).items()
            if end == 9
        ]

        read = [
            [record.offset for record in await log.open.reader.read(partition, start, limit)]
            for start, limit in [(0, 4), (7, 4), (9, 4)]
        ]

        assert [[0, 1, 2, 3], [7, 8], []] == read

    async def test_compacted_topic_keeps_the_last(self, log):
        """
        Of a compacted topic at least the last record of every key stays.
        """
        appends = [
            Append(Topic.DEFINITIONS, record_key(1, "flag", str(number)), b"%d" % turn)
            for turn in range(5)
            for number in range(4)
        ]
        await append(log, appends)

        assert {
            record_key(1, "flag", str(number)): b"4" for number in range(4)
        } == await last_per_key(log.open.reader, Topic.DEFINITIONS)

    async def test_table_and_changelog_are_the_fold(self, log):
        """
        The table, and the last changelog record of each key, equal the pure fold of the log.
        """
        history = await append(log, updates(10, 10))
        async with App(log.settings, log.open) as app:
            history += await append(log, updates(10, 10, start=10))
            await app.progress.wait_for(positions(history))
            table = app.table()

        assert folded(history) == table
        assert folded(history) == await last_per_key(log.open.reader, TABLE.changelog)

    async def test_restart_goes_on(self, log):
        """
        A stopped app goes on behind what it committed, with what was appended meanwhile.
        """
        history = await append(log, updates(10, 10))
        async with App(log.settings, log.open) as app:
            await app.progress.wait_for(positions(history))
        meanwhile = await append(log, updates(10, 10, start=10))
        async with App(log.settings, log.open) as app:
            await app.progress.wait_for(positions(meanwhile))
            table = app.table()

        assert folded(history + meanwhile) == table
        assert folded(history + meanwhile) == await last_per_key(log.open.reader, TABLE.changelog)
        assert len(meanwhile) == len(app.progress.deliveries)

    async def test_restart_without_tables_rebuilds(self, log):
        """
        Tables whose files were deleted are rebuilt from their changelogs.
        """
        history = await append(log, updates(10, 10))
        async with App(log.settings, log.open) as app:
            await app.progress.wait_for(positions(history))
        shutil.rmtree(log.settings.data_dir / "tables")
        async with App(log.settings, log.open) as app:
            table = app.table()

        assert folded(history) == table
        assert [] == app.progress.deliveries

    async def test_restarts_under_load_lose_nothing(self, log):
        """
        However often the app stops while records come in, all of them are in table and changelog.
        """
        async with Load(log) as load:
            for _ in range(3):
                async with App(log.settings, log.open) as app:
                    await app.progress.wait_for(await load.next_request())
        history = load.history
        async with App(log.settings, log.open) as app:
            history += (last := await append(log, updates(KEYS, 1)))
            await app.progress.wait_for(positions(last))
            table = app.table()

        assert folded(history) == table
        assert folded(history) == await last_per_key(log.open.reader, TABLE.changelog)


class Load:
    """Appends one request after the other until it is left."""

    def __init__(self, log):
        self.history = []
        self._log = log
        self._is_over = False
        self._written = asyncio.Event()

    async def __aenter__(self):
        self._task = asyncio.create_task(self._append())
        return self

    async def __aexit__(self, *exc_info):
        self._is_over = True
        await self._task

    async def next_request(self):
        """Wait for a request that comes after the present one; where its records are."""
        for _ in range(2):
            self._written.clear()
            await self._written.wait()
        return positions(self.history[-KEYS:])

    async def _append(self):
        for turn in itertools.count():
            if self._is_over:
                return
            self.history += await append(self._log, updates(KEYS, 1, start=turn))
            self._written.set()
            await asyncio.sleep(PAUSE_S)
