"""How long answers are kept."""

import weakref
from itertools import pairwise

import pytest

from flagstream.flags import CompiledFlags
from flagstream.routes import ready_answers
from flagstream.routes.ready_answers import Answer, ReadyAnswers
from flagstream.routes.tallies import tally_of

ANSWER = Answer([b'"a":{}'], has_failed=False, tally=tally_of(1, ()))


class Stored:
    """Something that can be seen to be freed."""


@pytest.fixture
def ready():
    return ReadyAnswers()


def keep(ready, flags, count):
    """Keep answers, and give what tells how many of them are left."""
    seen = []
    for number in range(count):
        stored = Stored()
        ready.keep(ready.of(flags), ("company", f"{number}", b""), stored, ANSWER)
        seen.append(weakref.ref(stored))
    return lambda: sum(each() is not None for each in seen)


class TestReadyAnswers:
    def test_answers_go_with_their_flags_a_few_at_a_time(self, ready):
        """
        No request has to wait until all answers of flags that are gone are freed.
        """
        old, new = CompiledFlags(), CompiledFlags()
        left = keep(ready, old, 100)
        del old

        counts = []
        while left():
            ready.of(new)
            counts.append(left())

        assert 5 <= len(counts)
        assert max(before - after for before, after in pairwise(counts)) <= 20

    def test_answers_take_a_bounded_room(self, ready, monkeypatch):
        """
        Where the answers take more than they may, they are dropped, and new ones are kept.
        """
        monkeypatch.setattr(ready_answers, "MAX_BYTES", 50_000)
        flags = CompiledFlags()
        left = keep(ready, flags, 1_000)
        for _ in range(100):
            ready.of(flags)

        assert 0 < left() < 100

    def test_answers_of_other_flags_are_others(self, ready):
        """
        Flags that a project had before answer nothing for those that it has now.
        """
        one, other = CompiledFlags(), CompiledFlags()
        keep(ready, one, 1)

        assert 1 == len(ready.of(one))
        assert {} == ready.of(other)
