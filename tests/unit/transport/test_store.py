import faust
import pytest
from faust.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from flagstream.errors import LogUnavailableError
from flagstream.transport.embedded import STORE_URL, install
from flagstream.transport.store import TablePartition
from tests.fakes.counting import max_count

COUNTS = st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.integers(0, 99)), max_size=8)


class Directory:
    """A table partition that can be closed and opened again."""

    def __init__(self, path):
        self.path = path
        self.partition = TablePartition(path)

    def reopened(self):
        self.partition.close()
        self.partition = TablePartition(self.path)
        return self.partition


@pytest.fixture
def directory(tmp_path):
    directory = Directory(tmp_path / "table-0.db")

    yield directory

    directory.partition.close()


class TestTablePartition:
    def test_is_never_ahead_of_its_changelog(self, directory):
        """
        A value is read at once, but is on disk only when its changelog record is durable.
        """
        directory.partition.set(b"k", b"v")
        seen = directory.partition.get(b"k")
        after_a_crash = directory.reopened()

        assert b"v" == seen
        assert (None, None) == (after_a_crash.get(b"k"), after_a_crash.offset)

    def test_saves_values_with_their_offset(self, directory):
        """
        As many values as have changelog records are saved, oldest first, with the last offset.
        """
        for number in range(5):
            directory.partition.set(b"k%d" % number, b"v")
        directory.partition.save(offset=7, count=3)
        saved = directory.reopened()

        assert [b"k0", b"k1", b"k2"] == [key for key, _ in saved.items()]
        assert 7 == saved.offset

    def test_the_newest_value_stays_visible(self, directory):
        """
        Saving an older value of a key does not bring it back before the newer one.
        """
        directory.partition.set(b"k", b"old")
        directory.partition.set(b"k", b"new")
        directory.partition.save(offset=0, count=1)
        visible = directory.partition.get(b"k")

        assert b"new" == visible
        assert b"old" == directory.reopened().get(b"k")

    def test_deletions_are_saved(self, directory):
        """
        A deleted key is gone, before and after it is saved.
        """
        directory.partition.set(b"k", b"v")
        directory.partition.save(offset=0, count=1)
        directory.partition.set(b"k", None)
        before = (directory.partition.get(b"k"), list(directory.partition.items()))
        directory.partition.save(offset=1, count=1)

        assert (None, []) == before
        assert [] == list(directory.reopened().items())

    def test_a_late_acknowledgement_changes_nothing(self, directory):
        """
        An acknowledgement for which nothing is unsaved does not move the offset.
        """
        directory.partition.save(offset=9, count=1)

        assert directory.partition.offset is None

    def test_a_full_disk_is_survived(self, directory, monkeypatch):
        """
        Values that could not be saved stay visible and are saved once there is room.
        """
        directory.partition.set(b"k", b"v")
        with monkeypatch.context() as full:
            full.setattr(directory.partition._database, "write", refuse)
            directory.partition.save(offset=3, count=1)
            assert not directory.partition.is_saved()
        assert b"v" == directory.partition.get(b"k")

        assert directory.partition.is_saved()
        assert (b"v", 3) == (directory.reopened().get(b"k"), directory.partition.offset)

    @given(first=COUNTS, second=COUNTS)
    def test_recovery_joins(self, tmp_path_factory, first, second):
        """
        Recovery keeps per key what the join says, whatever was there, and however often it reads.
        """
        partition = TablePartition(tmp_path_factory.mktemp("table"))
        partition.join(encoded(first), 5, max_count)
        partition.join(encoded(second), 3, max_count)
        partition.join(encoded(first), 5, max_count)
        found = {key: int(value) for key, value in partition.items()}
        partition.close()

        both = [*first, *second]
        assert {key: max(n for k, n in both if k == key) for key, _ in both} == found
        assert 5 == partition.offset


def refuse(_batch):
    raise LogUnavailableError("disk full")


def encoded(counts):
    return [(key, b"%d" % count) for key, count in counts]


class TestStore:
    def test_needs_bytes(self, tmp_path):
        """
        A table whose keys or values are not bytes is refused by name.
        """
        install()
        app = faust.App("test", broker=f"embedded://{tmp_path}", store=STORE_URL, datadir=tmp_path)
        table = app.Table("words", key_type=str, value_type=bytes)

        with pytest.raises(ImproperlyConfigured, match=r"table words: expected key_type=bytes"):
            _ = table.data
