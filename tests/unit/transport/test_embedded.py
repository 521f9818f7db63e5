import asyncio
import logging
import shutil
from collections import Counter

import pytest

from flagstream.errors import LogUnavailableError
from flagstream.topics import partition_of
from flagstream.transport.log import NewRecord
from flagstream.transport.overrides import Overrides
from tests.fakes.counting import CHANGELOG, PARTITIONS, SOURCE, create_topics, running

KEYS = [b"key-%d" % number for number in range(100)]


@pytest.fixture(params=[Overrides(), Overrides.none()], ids=["ours", "stock"])
def overrides(request):
    """Our paths, and Faust's own."""
    return request.param


@pytest.fixture
async def log(logs):
    log = logs.open()
    create_topics(log)
    return log


async def append(log, count):
    """Append records of all keys in turns."""
    keys = [KEYS[number % len(KEYS)] for number in range(count)]
    records = [NewRecord(SOURCE, partition_of(key, PARTITIONS), key, b"v", 1) for key in keys]
    await log.append(records)
    return Counter(keys)


def ends(log, topic=SOURCE):
    return [log.partition(topic, number).bounds.end for number in range(PARTITIONS)]


def changelog_counts(log):
    """The last record of each key of the changelog."""
    last = {}
    for number in range(PARTITIONS):
        for record in log.partition(CHANGELOG, number).read(0, 100_000):
            last[record.key] = int(record.value)
    return last


class TestLife:
    async def test_goes_on_at_the_committed_offset(self, log, overrides):
        """
        After a stop the app folds what is new, once, onto the state that it had.
        """
        expected = await append(log, 5_000)
        async with running(log, overrides) as first:
            await first.wait_for(lambda: ends(log) == first.committed())
            assert expected == first.counts()
        expected += await append(log, 1_000)
        async with running(log, overrides) as second:
            await second.wait_for(lambda: ends(log) == second.committed())

            assert expected == second.counts()
        assert (5_000, 1_000) == (len(first.delivered), len(second.delivered))
        assert expected == changelog_counts(log)

    async def test_live_records_arrive(self, log, overrides):
        """
        Records that are appended while the app runs are folded, each once and in order.
        """
        async with running(log, overrides) as counting:
            expected = Counter()
            for _ in range(20):
                expected += await append(log, 50)
            await counting.wait_for(lambda: len(counting.delivered) == 1_000)

            assert expected == counting.counts()
        for number in range(PARTITIONS):
            offsets = [offset for partition, offset in counting.delivered if partition == number]
            assert list(range(len(offsets))) == offsets

    async def test_full_buffers_lose_nothing(self, log, overrides):
        """
        A stream whose buffer is full slows the reading down, and gets every record.
        """
        expected = await append(log, 2_000)
        async with running(log, overrides, stream_buffer_maxsize=10) as counting:
            await counting.wait_for(lambda: len(counting.delivered) == 2_000)

            assert expected == counting.counts()


class TestTables:
    async def test_deleted_files_are_rebuilt(self, log, overrides):
        """
        A table whose files are gone is rebuilt from its changelog before anything is folded.
        """
        expected = await append(log, 1_000)
        async with running(log, overrides) as first:
            await first.wait_for(lambda: ends(log) == first.committed())
        shutil.rmtree(first.app.conf.tabledir)
        async with running(log, overrides) as second:
            assert expected == second.counts()
        assert [] == second.delivered

    async def test_a_log_behind_its_tables_wins(self, logs, log, overrides, caplog):
        """
        When the log knows less than a table, the table is rebuilt from the log, with a warning
        that names table, partition and offsets.
        """
        await append(log, 1_000)
        async with running(log, overrides) as first:
            await first.wait_for(lambda: ends(log) == first.committed())
        await logs.close(log)
        shutil.rmtree(logs.directory)
        fresh = logs.open()
        create_topics(fresh)
        expected = await append(fresh, 100)
        with caplog.at_level(logging.WARNING):
            async with running(fresh, overrides) as second:
                await second.wait_for(lambda: ends(fresh) == second.committed())

                assert expected == second.counts()
        warning = next(r for r in caplog.records if "ahead of the log" in r.message)
        assert ("counts", 0, 0) == (warning.table, warning.partition, warning.end)
        assert warning.persisted > 0


class TestCommits:
    async def test_never_passes_what_is_not_folded(self, log, overrides):
        """
        What has been handed to an agent but not folded is not committed.
        """
        async with running(log, overrides) as counting:
            counting.gate.clear()
            await append(log, 100)
            await asyncio.sleep(0.2)
            before = counting.committed()
            counting.gate.set()
            await counting.wait_for(lambda: ends(log) == counting.committed())

        assert [None] * PARTITIONS == before

    async def test_gaps_of_compaction_are_passed(self, logs, overrides):
        """
        Commits of a compacted source reach its end, whatever compaction has taken out.
        """
        log = logs.open()
        create_topics(log, is_compacted=True)
        await append(log, 5 * len(KEYS))
        await logs.close(log)
        log = logs.open()
        async with running(log, overrides) as counting:
            await counting.wait_for(lambda: ends(log) == counting.committed())
            assert set(KEYS) == set(counting.counts())
            await append(log, len(KEYS))
            await counting.wait_for(lambda: ends(log) == counting.committed())

        assert 2 * len(KEYS) == len(counting.delivered)

    async def test_a_refused_commit_is_tried_again(self, log, overrides):
        """
        While the log takes no writes nothing is committed and nothing is lost.
        """
        async with running(log, overrides) as counting:
            await append(log, 200)
            await counting.wait_for(lambda: len(counting.delivered) > 50)
            log._writer.fail(LogUnavailableError("disk full"))
            with pytest.raises(LogUnavailableError):
                await append(log, 1)
            await counting.wait_for(lambda: log.is_available)
            expected = await append(log, 100)
            await counting.wait_for(lambda: ends(log) == counting.committed())

            assert {key: 2 + expected[key] for key in KEYS} == counting.counts()
        assert dict.fromkeys(KEYS, 3) == changelog_counts(log)
