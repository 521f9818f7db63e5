"""The newest records of a topic, slice by slice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstream.errors import LogUnavailableError
from flagstream.newest import MAX_EXAMINED, Wanted, newest
from flagstream.ports import LogRecord, TopicPartition
from flagstream.topics import partition_of
from tests.fakes.log import FakeLog

TOPIC = "topic"
LARGE = b"x" * 1_000_000


class CountingLog(FakeLog):
    """
    Counts what is read, and reads large records in pieces.

    Attributes:
        reads: Where each began, and how many records it gave.
    """

    def __init__(self, partitions=1):
        super().__init__(partitions)
        self.reads = []

    async def read(self, topic_partition: TopicPartition, start: int, limit: int):
        found, size_bytes = [], 0
        for record in await super().read(topic_partition, start, limit):
            found.append(record)
            size_bytes += len(record.value or b"")
            if size_bytes >= 4 * len(LARGE):
                break
        self.reads.append((start, len(found)))
        return found


def offset(record: LogRecord):
    return record.offset


async def slices(log, wanted, limit):
    """Read slice by slice until all was looked at."""
    found, ends = [], None
    while ends is None or ends:
        page = await newest(log, TOPIC, wanted, limit=limit, ends=ends)
        found.append(page.found)
        ends = page.ends
    return found


def joined(pages):
    return [each for page in pages for each in page]


class TestOrder:
    @given(
        partitions=st.lists(st.integers(0, 3), max_size=60),
        limit=st.integers(1, 20),
        gaps=st.sets(st.integers(0, 10)),
    )
    async def test_every_record_once(self, partitions, limit, gaps):
        """
        Slice by slice every record comes once, each partition's backwards, whatever is missing
        between them.
        """
        log = FakeLog(partitions=4)
        for partition in partitions:
            log.append(TOPIC, b"k", b"v", partition)
        for number in range(4):
            for gap in gaps & set(range(partitions.count(number))):
                log.compact(TOPIC, gap, number)

        places = [(record.partition, record.offset) for record in await all_of(log, limit)]

        assert len(places) == len(set(places))
        for number in range(4):
            kept = sorted(set(range(partitions.count(number))) - gaps, reverse=True)
            assert kept == [offset for partition, offset in places if partition == number]

    async def test_partitions_by_time(self):
        """
        Records of several partitions come by the time they were written.
        """
        log = FakeLog(partitions=2)
        for partition in (0, 0, 0, 1):
            log.append(TOPIC, b"k", b"v", partition)

        # The fake's times are its offsets.
        times = [record.timestamp_ms for record in await all_of(log, 10)]

        assert [2, 1, 0, 0] == times

    async def test_what_comes_meanwhile(self):
        """
        What is written after the first slice moves nothing in those that follow.
        """
        log = FakeLog()
        for _ in range(4):
            log.append(TOPIC, b"k", b"v")
        first = await newest(log, TOPIC, Wanted(offset), limit=2)
        log.append(TOPIC, b"k", b"v")

        second = await newest(log, TOPIC, Wanted(offset), limit=2, ends=first.ends)

        assert ([3, 2], [1, 0], {}) == (first.found, second.found, second.ends)


async def all_of(log, limit):
    return joined(await slices(log, Wanted(lambda record: record), limit))


class TestKey:
    async def test_only_its_partition(self):
        """
        Of one key nothing but its partition is read, and nothing of others there is wanted.
        """
        log, key = CountingLog(partitions=3), b"mine"
        number = partition_of(key, 3)
        for each in (key, b"other", key):
            log.append(TOPIC, each, b"v", number)
        log.append(TOPIC, key, b"v", (number + 1) % 3)

        page = await newest(log, TOPIC, Wanted(offset, key), limit=10)

        assert ([2, 0], {}) == (page.found, page.ends)
        assert [(0, 3)] == log.reads


class TestBounds:
    async def test_nothing_found(self):
        """
        A slice looks at a bounded number of records; where nothing was found it says where to go
        on.
        """
        log, count = CountingLog(), 2 * MAX_EXAMINED + 5
        log.extend(TOPIC, [(b"k", b"v")] * count)
        log.extend(TOPIC, [(b"wanted", b"v")])

        pages = await slices(log, Wanted(offset, b"absent"), 10)
        first = await newest(log, TOPIC, Wanted(offset, b"absent"), limit=10)

        assert [[], [], []] == pages
        assert {0: count + 1 - MAX_EXAMINED} == first.ends
        assert max(read for _, read in log.reads) <= 500

    async def test_large_records(self):
        """
        Of large records less is looked at, and never much more is read at once.
        """
        log = CountingLog()
        log.extend(TOPIC, [(b"k", LARGE)] * 70)

        first = await newest(log, TOPIC, Wanted(offset), limit=100)
        pages = await slices(log, Wanted(offset), 100)

        assert list(range(69, 35, -1)) == first.found
        assert list(range(69, -1, -1)) == joined(pages)
        assert max(read for _, read in log.reads) <= 4

    async def test_old_ones_are_not_read(self):
        """
        Where only records after some time are wanted, reading ends at that time.
        """
        log = CountingLog()
        log.extend(TOPIC, [(b"k", b"v")] * 5_000)

        page = await newest(log, TOPIC, Wanted(offset, after_ms=4_996), limit=10)

        assert ([4_999, 4_998, 4_997], {}) == (page.found, page.ends)
        assert 1 == len(log.reads)

    @pytest.mark.parametrize(
        ("ends", "expected"), [({0: 99}, [1, 0]), ({0: 1}, [0]), ({0: 0}, []), ({7: 1}, [])]
    )
    async def test_ends_that_are_not_there(self, ends, expected):
        """
        Where to go on may be a place that the log has not, as after it was made anew.
        """
        log = FakeLog()
        log.extend(TOPIC, [(b"k", b"v")] * 2)

        page = await newest(log, TOPIC, Wanted(offset), limit=10, ends=ends)

        assert (expected, {}) == (page.found, page.ends)

    async def test_log_is_down(self):
        """
        Who asks is told that the log cannot be read.
        """

        class Down(FakeLog):
            async def bounds(self, topics):
                raise LogUnavailableError("down")

        with pytest.raises(LogUnavailableError):
            await newest(Down(), TOPIC, Wanted(offset), limit=10)
