"""Buckets of tokens: what is let in, and what is refused."""

import mmap
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstream.errors import RateLimitError
from flagstream.rates import SHARED_BYTES, Rates, draw
from flagstream.settings import Settings
from flagstream.warning_kinds import WarningKind
from tests.fakes.views import PROJECT, FakeWarnings

# Seconds since a machine was started: floats are coarser then.
START_S = 10_000_000.0
RATES = st.floats(0.01, 100_000)
BURSTS_S = st.floats(0.01, 100)
GAPS_S = st.lists(st.floats(0, 20) | st.just(0.0), min_size=1, max_size=60)


def drawn(gaps_s, counts, per_s, burst_s):
    """Yield time and count of what is let in."""
    full_s = 0.0
    for now_s, count in zip(accumulate(gaps_s, initial=START_S), counts, strict=False):
        drawn_s = draw(full_s, now_s, count, per_s, burst_s)
        if drawn_s > 0:
            full_s = drawn_s
            yield now_s, count


class TestDraw:
    @given(gaps_s=GAPS_S, per_s=RATES, burst_s=BURSTS_S, data=st.data())
    def test_never_more(self, gaps_s, per_s, burst_s, data):
        """
        In no stretch of time is more let in than the burst, the rate, and the rest of one batch.
        """
        counts = data.draw(st.lists(st.integers(1, 50), min_size=60, max_size=60))
        let_in = list(drawn(gaps_s, counts, per_s, burst_s))
        burst = max(1.0, per_s * burst_s)

        for first, (start_s, _) in enumerate(let_in):
            total = 0
            for end_s, count in let_in[first:]:
                most = burst + per_s * (end_s - start_s) + count - 1
                total += count
                assert total <= most + 1e-6 * (per_s + most)

    @given(gaps_s=GAPS_S, per_s=RATES, burst_s=BURSTS_S)
    def test_never_less(self, gaps_s, per_s, burst_s):
        """
        Who stays below the rate is never refused.
        """
        spread_s = [gap_s + 1.001 / per_s for gap_s in gaps_s]

        assert len(gaps_s) == len(list(drawn(spread_s, [1] * len(gaps_s), per_s, burst_s)))

    @given(per_s=RATES, burst_s=BURSTS_S, count=st.integers(1, 5_000))
    def test_after_the_wait(self, per_s, burst_s, count):
        """
        Who comes back after the time that was told is let in, and a little before is not.
        """
        full_s = START_S + burst_s + count / per_s
        wait_s = -draw(full_s, START_S, 1, per_s, burst_s)

        assert wait_s > 0
        assert draw(full_s, START_S + wait_s + 1e-6, 1, per_s, burst_s) > 0
        assert draw(full_s, START_S + wait_s * 0.99 - 2e-6, 1, per_s, burst_s) < 0


class Arranged:
    def __init__(self, shared=None, **settings):
        self.now_s = START_S
        self.warnings = FakeWarnings()
        given = Settings(**{"max_events_per_s": 10, "rate_burst_s": 1, **settings})
        self.rates = Rates(given, self.warnings, shared, clock_s=lambda: self.now_s)

    def events(self, count=1, own=None):
        try:
            self.rates.events.take(PROJECT.id, own, count)
        except RateLimitError as error:
            return error
        return None


class TestLimit:
    def test_a_batch_is_never_cut(self):
        """
        A batch is let in as a whole as long as one token is left; then it is paid back.
        """
        arranged = Arranged()

        assert [None] * 2 == [arranged.events(9), arranged.events(500)]
        refused = arranged.events(3)
        assert ("max_events_per_s", 50) == (refused.attr, refused.retry_after_s)
        arranged.now_s += 50
        assert arranged.events() is None

    def test_what_is_told(self):
        """
        A refusal names the setting, the rate and how much came; it is counted.
        """
        arranged = Arranged()
        arranged.events(10)
        refused = arranged.events(7)

        expected = "max_events_per_s: expected at most 10 a second, got 7 more"
        assert f"Rate limit exceeded: {expected}" == refused.detail
        assert (429, "rate_limit_exceeded", 1) == (
            refused.status,
            refused.code,
            refused.retry_after_s,
        )
        assert [WarningKind.EVENTS_RATE_LIMITED] == [each.kind for each in arranged.warnings.added]
        assert [7] == arranged.warnings.counts

    def test_not_for_ever(self):
        """
        Nobody is sent away for longer than a minute.
        """
        arranged = Arranged(max_events_per_s=0.001)
        arranged.events(1_000)

        assert 60 == arranged.events().retry_after_s

    @pytest.mark.parametrize(
        ("own", "let_in"), [(None, 10), (3, 3), (0, 100), (0.5, 1), (1_000.0, 100)]
    )
    def test_of_a_project(self, own, let_in):
        """
        A project's rate goes before the server's, and 0 is no limit.
        """
        arranged = Arranged()

        assert let_in == [arranged.events(own=own) for _ in range(100)].count(None)

    def test_kinds_and_projects_are_apart(self):
        """
        What is used up of one kind in one project is there for all others.
        """
        arranged = Arranged()
        arranged.events(10)
        arranged.rates.events.take(PROJECT.id + 1, None)
        arranged.rates.flags.take(PROJECT.id, None)

        assert arranged.events() is not None

    def test_processes_share(self):
        """
        Processes that share the memory let in together what one of them would.
        """
        shared = mmap.mmap(-1, SHARED_BYTES)
        one, other = Arranged(shared), Arranged(shared)

        assert [None] * 2 == [one.events(6), other.events(4)]
        assert None not in [one.events(), other.events()]
