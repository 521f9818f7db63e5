import asyncio
import multiprocessing

import pytest
from rocksdict import WriteBatch

from flagstream.errors import LogError, LogFormatError, LogLockedError, SettingsError
from flagstream.transport import layout
from flagstream.transport.log import Log, NewRecord
from flagstream.transport.options import LogOptions
from flagstream.transport.partition import TAIL_BYTES
from flagstream.transport.rocks import Database

FSYNCS = ["interval", "always", "never"]


def record(value=b"v", *, topic="plain", partition=0, key=b"k", timestamp_ms=1):
    return NewRecord(topic, partition, key, value, timestamp_ms)


def values(log, topic="plain", partition=0, start=0):
    return [found.value for found in log.partition(topic, partition).read(start, 10_000)]


def opened_elsewhere(directory, answer):
    try:
        Log(LogOptions(directory=directory))
    except LogLockedError as error:
        answer.send(str(error))
    else:
        answer.send("opened")


class TestAppend:
    @pytest.mark.parametrize("fsync", FSYNCS)
    async def test_offsets_count_per_partition(self, logs, fsync):
        """
        An append returns offsets in the order given, and they grow by one in each partition.
        """
        log = logs.open(fsync=fsync)
        log.create_topic("plain", 2, is_compacted=False)

        first = await log.append([record(), record(partition=1), record()])
        second = await log.append([record()])

        assert ([0, 0, 1], [2]) == (first, second)

    async def test_nothing_is_read_before_it_is_written(self, log):
        """
        A record that was posted is not to be read until RocksDB has it.
        """
        log.post(record())
        before = values(log)
        await log.flush()

        assert ([], [b"v"]) == (before, values(log))

    async def test_everybody_gets_their_own_offsets(self, log):
        """
        Appends of one turn of the loop share a batch and keep their own offsets.
        """
        offsets = await asyncio.gather(*(log.append([record(b"%d" % n)]) for n in range(50)))

        assert [[n] for n in range(50)] == offsets
        assert [b"%d" % n for n in range(50)] == values(log)

    async def test_posted_records_tell_their_offset(self, log):
        """
        Whoever posts a record learns its offset once it is durable.
        """
        told = []
        log.post(record(), told.append)
        log.post(record(), told.append)
        await log.flush()

        assert [0, 1] == told

    @pytest.mark.parametrize("place", [("plain", 2), ("unknown", 0)])
    async def test_unknown_partition_is_refused(self, log, place):
        """
        An append to a partition that is not there is refused as a whole.
        """
        with pytest.raises(LogError, match=r"there is no such partition"):
            await log.append([record(), record(topic=place[0], partition=place[1])])

        assert [] == values(log)


class TestReopen:
    @pytest.mark.parametrize("fsync", FSYNCS)
    async def test_everything_is_there_again(self, logs, fsync):
        """
        Records, bounds, topics and committed offsets are the same after a reopening.
        """
        log = logs.open(fsync=fsync)
        log.create_topic("plain", 2, is_compacted=False)
        await log.append([record(b"%d" % n) for n in range(10)])
        log.post(record(b"posted"))
        await log.commit("group", {("plain", 0): 7})
        await logs.close(log)

        again = logs.open()

        assert [*(b"%d" % n for n in range(10)), b"posted"] == values(again)
        assert (0, 11) == (
            again.partition("plain", 0).bounds.start,
            again.partition("plain", 0).bounds.end,
        )
        assert (7, None) == (
            again.committed("group", "plain", 0),
            again.committed("group", "plain", 1),
        )
        assert ["plain"] == again.topics()

    async def test_posted_records_are_written_by_closing(self, logs, log):
        """
        A record that was posted just before the end is in the log.
        """
        log.post(record())
        await logs.close(log)

        assert [b"v"] == values(logs.open())

    def test_locked(self, log, tmp_path):
        """
        A second process gets an error that names the directory.
        """
        receiver, sender = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("spawn").Process(
            target=opened_elsewhere, args=(tmp_path / "log", sender)
        )
        child.start()
        answer = receiver.recv() if receiver.poll(30) else "no answer"
        child.join(10)

        assert f"{tmp_path / 'log'}: another process holds this directory" == answer

    def test_newer_format(self, tmp_path):
        """
        A directory of a newer flagstream is refused, with both formats named.
        """
        database = Database(tmp_path)
        batch = WriteBatch(raw_mode=True)
        batch.put(layout.FORMAT_KEY, b"99")
        database.write(batch)
        database.close()

        with pytest.raises(LogFormatError, match=r"format 99, this version reads 1"):
            Log(LogOptions(directory=tmp_path))


class TestTopics:
    def test_creating_twice_changes_nothing(self, log):
        """
        A topic that is there stays as it is.
        """
        log.create_topic("plain", 2, is_compacted=False)

        assert (2, 0) == (log.partitions("plain"), log.epoch("plain"))

    @pytest.mark.parametrize(
        ("partitions", "is_compacted", "message"),
        [(3, False, "has 2 partitions, expected 3"), (2, True, "is_compacted is False")],
    )
    def test_another_shape_is_refused(self, log, partitions, is_compacted, message):
        """
        A topic that is there in another shape is named, with what it has and what was expected.
        """
        with pytest.raises(LogError, match=f"plain: {message}"):
            log.create_topic("plain", partitions, is_compacted=is_compacted)

    async def test_epoch_grows_with_each_creation(self, logs, log):
        """
        A topic that is deleted and created again is empty, uncommitted and of a higher epoch.
        """
        await log.append([record()])
        await log.commit("group", {("plain", 0): 1})
        await log.delete_topic("plain")
        assert ["compacted"] == log.topics()
        await logs.close(log)
        again = logs.open()
        again.create_topic("plain", 1, is_compacted=False)

        assert (1, [], None) == (
            again.epoch("plain"),
            values(again),
            again.committed("group", "plain", 0),
        )
        assert [0] == await again.append([record()])


class TestCompaction:
    async def test_the_last_record_of_each_key_stays(self, log):
        """
        In a compacted topic a record replaces the one before it of its key, within a batch and
        across batches.
        """
        for turn in range(3):
            await log.append(
                [
                    record(b"%d%d" % (turn, n), topic="compacted", key=b"k%d" % (n % 2))
                    for n in range(4)
                ]
            )
        await log.append([record(b"large" * TAIL_BYTES, topic="compacted", key=b"fills the tail")])

        assert [b"22", b"23"] == values(log, "compacted")[:2]
        assert 13 == log.partition("compacted", 0).bounds.end

    async def test_a_deletion_is_read_by_live_and_late_readers(self, logs, log):
        """
        A record without a value removes its key's record, and readers still get to see it.
        """
        await log.append([record(b"there", topic="compacted")])
        await log.append([record(None, topic="compacted")])
        live = values(log, "compacted", start=1)
        await logs.close(log)

        assert ([None], [None]) == (live, values(logs.open(), "compacted"))


class TestTail:
    async def test_memory_is_bounded(self, log):
        """
        However much is written, a partition keeps no more than its tail in memory.
        """
        for _ in range(20):
            await log.append([record(b"x" * (TAIL_BYTES // 10)) for _ in range(2)])
        partition = log.partition("plain", 0)

        assert sum(len(found.value) for found in partition._tail) <= TAIL_BYTES
        assert list(range(40)) == [found.offset for found in partition.read(0, 100)]

    @pytest.mark.parametrize("start", range(0, 60, 7))
    async def test_tail_and_database_read_alike(self, log, start):
        """
        A reader cannot tell whether its records come from memory or from RocksDB.
        """
        await log.append([record(b"%d" % n + b"x" * (TAIL_BYTES // 40)) for n in range(60)])
        partition = log.partition("plain", 0)

        assert list(range(start, 60))[:9] == [found.offset for found in partition.read(start, 9)]
        assert partition._scan(start, 9) == partition.read(start, 9)

    async def test_a_missing_record_is_an_error(self, log):
        """
        A hole in a topic that has none is an error and is never passed over.
        """
        await log.append([record(b"x" * TAIL_BYTES) for _ in range(3)])
        batch = WriteBatch(raw_mode=True)
        batch.delete(layout.record_key(log._meta("plain").id, 0, 1))
        log._database.write(batch)

        with pytest.raises(LogError, match=r"plain/0: record 1 is missing"):
            log.partition("plain", 0).read(1, 10)


class TestRetention:
    async def test_old_records_go(self, logs):
        """
        Records older than the retention are deleted, in memory and on disk.
        """
        log = logs.open(retention_hours=1)
        log.create_topic("plain", 2, is_compacted=False)
        await log.append([record(b"%d" % n, timestamp_ms=n * 600_000) for n in range(20)])
        log.retain(now_ms=19 * 600_000)

        assert [b"%d" % n for n in range(13, 20)] == values(log)
        assert 13 == log.partition("plain", 0).bounds.start
        assert [20] == await log.append([record()])

    async def test_what_is_not_committed_stays(self, logs):
        """
        No retention deletes a record that a group has yet to fold.
        """
        log = logs.open(retention_hours=1, retention_bytes=1)
        log.create_topic("plain", 1, is_compacted=False)
        await log.append([record(b"%d" % n) for n in range(10)])
        await log.commit("group", {("plain", 0): 4})
        log.retain(now_ms=10**13)

        assert [b"%d" % n for n in range(4, 10)] == values(log)

    async def test_the_largest_partitions_lose_first(self, logs):
        """
        When there is too much, a flooded topic gives way and a small one keeps everything.
        """
        log = logs.open(retention_bytes=20_000)
        log.create_topic("flooded", 1, is_compacted=False)
        log.create_topic("small", 1, is_compacted=False)
        await log.append([record(b"x" * 1_000, topic="flooded") for _ in range(100)])
        await log.append([record(b"x" * 1_000, topic="small") for _ in range(5)])
        log.retain(now_ms=1)
        kept = {topic: len(values(log, topic)) for topic in ("flooded", "small")}

        assert {"flooded": 14, "small": 5} == kept

    async def test_deletions_are_forgotten_after_a_day(self, log):
        """
        A deletion goes once all have had time to see it, but the last record of a partition stays.
        """
        await log.append([record(b"v", topic="compacted", key=b"%d" % n) for n in range(3)])
        await log.append([record(None, topic="compacted", key=b"%d" % n) for n in (0, 1)])
        log.retain(now_ms=10**13)

        assert [(b"2", b"v"), (b"1", None)] == [
            (found.key, found.value) for found in log.partition("compacted", 0)._scan(0, 9)
        ]

    async def test_a_key_that_came_back_is_not_forgotten(self, log):
        """
        A deletion that was followed by a value takes nothing away.
        """
        for value in (b"old", None, b"new"):
            await log.append([record(value, topic="compacted")])
        log.retain(now_ms=10**13)
        await log.append([record(b"newer", topic="compacted")])

        assert [b"newer"] == [found.value for found in log.partition("compacted", 0)._scan(0, 9)]


class TestOptions:
    def test_url(self, tmp_path):
        """
        A URL names the directory and whatever differs from the defaults.
        """
        options = LogOptions.from_url(f"embedded://{tmp_path}?fsync=always&retention_hours=2")

        assert LogOptions(directory=tmp_path, fsync="always", retention_hours=2) == options

    @pytest.mark.parametrize(
        ("url", "named"),
        [
            ("embedded://relative/log", "absolute directory"),
            ("embedded:///log?fsync=sometimes", "fsync"),
            ("embedded:///log?sync=always", "sync"),
        ],
    )
    def test_wrong_url(self, url, named):
        """
        A wrong URL is refused with the part that is wrong.
        """
        with pytest.raises(SettingsError, match=named):
            LogOptions.from_url(url)
