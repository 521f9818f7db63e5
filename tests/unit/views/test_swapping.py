"""Large snapshots made and freed without holding up requests."""

import gc
import weakref

import pytest

from flagstream.flags import finished
from flagstream.views.swapping import SPARED_THRESHOLD, let_go, uncollected


class Piece:
    """Something that can be seen to be freed."""


@pytest.fixture
def spared():
    """A process whose collector is spared what its start has made."""
    thresholds = gc.get_threshold()
    gc.set_threshold(SPARED_THRESHOLD)

    yield

    gc.set_threshold(*thresholds)
    gc.unfreeze()


class TestUncollected:
    def test_collector_is_left_alone(self):
        """
        Where the collector is not spared anything, it goes on.
        """
        with uncollected():
            assert gc.isenabled()

        assert 0 == gc.get_freeze_count()

    def test_made_without_the_collector(self, spared):
        """
        What is made is spared the collector, which goes on afterwards.
        """
        before = gc.get_freeze_count()
        with uncollected():
            was_enabled, made = gc.isenabled(), [Piece() for _ in range(1_000)]

        assert not was_enabled
        assert gc.isenabled()
        assert 1_000 == len(made)
        assert before + 1_000 <= gc.get_freeze_count()

    def test_a_failure_passes(self, spared):
        """
        All is as before also where nothing could be made.
        """
        with pytest.raises(ZeroDivisionError), uncollected():
            raise ZeroDivisionError

        assert gc.isenabled()


class TestLetGo:
    def test_every_piece_is_freed(self):
        """
        Nothing is left, although no collection took place.
        """
        pieces = [Piece() for _ in range(10)]
        seen = [weakref.ref(piece) for piece in pieces]
        finished(let_go(pieces))

        assert {None} == {each() for each in seen}

    def test_what_is_within_is_freed_as_well(self):
        """
        However large and deep something is, nothing of it is left.
        """
        leaves = [Piece() for _ in range(100)]
        seen = [weakref.ref(leaf) for leaf in leaves]
        root = Piece()
        root.by_key = {number: [[leaf]] for number, leaf in enumerate(leaves)}
        root.again = tuple(leaves)
        pieces = [root]
        del leaves, root
        finished(let_go(pieces))

        assert {None} == {each() for each in seen}

    def test_what_others_hold_is_left_alone(self):
        """
        What is still in use is not taken apart.
        """
        kept = [Piece()]
        holder = [{"kept": kept}]
        finished(let_go(holder))

        assert 1 == len(kept)
