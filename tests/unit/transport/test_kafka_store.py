"""The offset of a table whose changelog others may write to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstream.transport.kafka_store import KafkaTablePartition
from tests.fakes.counting import max_count

KEYS = (b"a", b"b")


@pytest.fixture
def partition(tmp_path):
    partition = KafkaTablePartition(tmp_path / "table-0.db")

    yield partition

    partition.close()


def send(partition, offset, value=b"1", key=b"k"):
    """Write a value whose changelog record then lands at *offset*."""
    partition.set(key, value)
    missed = partition.missed(offset, 1)
    partition.save(offset, 1)
    return missed


class TestKafkaTablePartition:
    def test_own_records_move_the_offset(self, partition):
        """
        From the beginning of a changelog on, each record of ours moves the offset by one.
        """
        missed = [send(partition, offset) for offset in range(3)]

        assert (2, [0, 0, 0]) == (partition.offset, missed)

    def test_foreign_records_are_not_passed(self, partition, tmp_path):
        """
        Behind records of another worker values are saved and the offset stays, also on disk.
        """
        send(partition, 0, b"1")
        missed = [send(partition, offset, b"%d" % offset) for offset in (3, 4, 7)]
        partition.close()
        reopened = KafkaTablePartition(tmp_path / "table-0.db")

        assert (0, [2, 0, 2]) == (partition.offset, missed)
        assert (0, b"7") == (reopened.offset, reopened.get(b"k"))
        reopened.close()

    def test_a_recovery_reads_what_was_missed(self, partition):
        """
        Once the missed records are joined in, the offset moves on with our own again.
        """
        send(partition, 0)
        send(partition, 2, b"2")
        partition.rewind()
        partition.join([(b"other", b"1"), (b"k", b"2")], 2, max_count)
        recovered = partition.offset
        missed = send(partition, 3, b"3")

        assert (2, 3, 0) == (recovered, partition.offset, missed)

    @pytest.mark.parametrize("end", [-1, 0, 41])
    def test_a_changelog_may_begin_and_end_anywhere(self, partition, end):
        """
        A recovery that found nothing up to the end of a changelog is at that end.
        """
        partition.catch_up(end)

        assert 0 == send(partition, end + 1)
        assert end + 1 == partition.offset

    def test_stale_last_records_hold_the_offset(self, partition):
        """
        A key whose last record lacks something is to be published, and until then the offset stays.
        """
        partition.join([(b"k", b"9")], 0, max_count)
        partition.join([(b"k", b"5"), (b"other", b"1")], 2, max_count)
        before = (partition.offset, set(partition.unpublished), partition.get(b"k"))
        missed = send(partition, 3, b"9")

        assert (0, {b"k"}, b"9") == before
        assert (3, set(), 0) == (partition.offset, partition.unpublished, missed)

    def test_a_late_acknowledgement_changes_nothing(self, partition):
        """
        An acknowledgement for which nothing is unsaved does not move the offset.
        """
        partition.save(offset=0, count=1)

        assert partition.offset is None

    @given(
        writes=st.lists(st.tuples(st.booleans(), st.sampled_from(KEYS), st.integers(0, 9))),
        recoveries=st.sets(st.integers(0, 30)),
    )
    def test_what_the_offset_passes_is_safe(self, tmp_path_factory, writes, recoveries):
        """
        Whatever others write and whenever a recovery comes: all records up to the offset are in the
        table, and after a recovery the last record of each key equals it.
        """
        partition = KafkaTablePartition(tmp_path_factory.mktemp("table"))
        changelog = []
        for step, (is_ours, key, count) in enumerate(writes):
            if step in recoveries:
                recover(partition, changelog)
            value = max_count(partition.get(key), b"%d" % count) if is_ours else b"%d" % count
            changelog.append((key, value))
            if is_ours:
                send(partition, len(changelog) - 1, value, key)
            assert_secured(partition, changelog)
        recover(partition, changelog)

        assert dict(changelog) == dict(partition.items())
        assert len(changelog) - 1 == (-1 if partition.offset is None else partition.offset)
        partition.close()


def recover(partition, changelog):
    """Read from the offset on, as Faust does, and publish what the changelog lacks."""
    partition.rewind()
    start = 0 if partition.offset is None else partition.offset
    for offset, record in enumerate(changelog[start:], start):
        partition.join([record], offset, max_count)
    partition.catch_up(len(changelog) - 1)
    for key in sorted(partition.unpublished):
        changelog.append((key, partition.get(key)))
        assert 0 == send(partition, len(changelog) - 1, partition.get(key), key)


def assert_secured(partition, changelog):
    passed = changelog[: (-1 if partition.offset is None else partition.offset) + 1]
    for key, value in passed:
        assert int(value) <= int(partition.get(key))
