"""The views of another process, read."""

import pytest

from flagstream.errors import UnavailableError
from flagstream.views import ViewReplica


@pytest.fixture
def replica(store, tmp_path):
    replica = ViewReplica(tmp_path / "views", tmp_path / "own")
    yield replica
    replica.close()


class TestReplica:
    def test_reads_as_far_as_it_caught_up(self, store, replica):
        """
        Nothing changes under a reader, until it says so.
        """
        store.write({b"key": b"1"}, {})
        assert replica.recover()
        store.write({b"key": b"2", b"other": b"3"}, {})
        assert (b"1", None) == (replica.get(b"key"), replica.get(b"other"))

        replica.catch_up()

        assert (b"2", b"3") == (replica.get(b"key"), replica.get(b"other"))
        assert [(b"key", b"2")] == list(replica.items(b"key", b"key\xff"))

    def test_not_open(self, replica):
        """
        Before it is open reads are refused like those of views that are closed.
        """
        with pytest.raises(UnavailableError):
            replica.get(b"key")

    def test_the_writer_starts_again(self, store, replica):
        """
        It goes on where the writer had to open its files again, as after a full disk.
        """
        store.write({b"key": b"1"}, {})
        replica.recover()
        store.recover()
        store.write({b"key": b"2"}, {})

        replica.catch_up()

        assert b"2" == replica.get(b"key")

    def test_many_files(self, store, replica):
        """
        What the writer flushes and compacts meanwhile is read all the same.
        """
        replica.recover()
        for number in range(20):
            store.write({b"%d" % key: b"%d" % number for key in range(100)}, {})
            store._rdict.flush()
            if number % 5 == 4:
                store._rdict.compact_range(None, None)
                replica.catch_up()

                assert [b"%d" % number] * 100 == [replica.get(b"%d" % key) for key in range(100)]
