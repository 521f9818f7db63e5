"""How long changes take to be visible, and how old the oldest is that is not."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from flagstream import telemetry
from flagstream.ports import Position, TopicPartition
from flagstream.settings import Settings
from flagstream.topics import Table, Topic
from flagstream.views import FollowedViews, Watermarks
from flagstream.views.freshness import Freshness
from tests.fakes.log import FakeLog
from tests.waiting import until

GROUPS = Topic.GROUP_UPDATES.value
PLACE = TopicPartition(GROUPS, 0)


@pytest.fixture
def marks():
    return Watermarks(max_lag_changes=10, max_lag_s=2.0)


def samples():
    return REGISTRY.get_sample_value("flagstream_freshness_seconds_count") or 0


def show(marks, offset):
    marks.folded(GROUPS, 0, offset, offset)
    marks.applied(Table.GROUPS, 0, offset)


class TestSamples:
    def test_from_acknowledged_to_visible(self, marks):
        """
        A change is a sample once it is visible, and not when it was folded.
        """
        before = samples()

        marks.appended([Position(GROUPS, 0, 0)])
        marks.folded(GROUPS, 0, 0, 0)
        assert 0 == samples() - before
        marks.applied(Table.GROUPS, 0, 0)
        assert 1 == samples() - before

    def test_change_that_changes_nothing(self, marks):
        """
        What changes nothing is visible as soon as it was folded.
        """
        before = samples()

        marks.appended([Position(GROUPS, 0, 0)])
        marks.folded(GROUPS, 0, 0, None)

        assert 1 == samples() - before

    def test_changes_of_others(self, marks):
        """
        When others have acknowledged, this process cannot tell; but that it waits.
        """
        before = samples()

        marks.ends({PLACE: 3})
        assert marks.view_age_s > 0
        show(marks, 2)

        assert (0, 0) == (samples() - before, marks.view_age_s)

    def test_not_more_than_so_many(self):
        """
        Of many changes in a moment only the first is a sample; of a stall there are as many as the
        time takes.
        """
        freshness, before = Freshness(), samples()
        for offset in range(1_000):
            freshness.begin(offset, offset / 1_000, is_own=True)
        waiting = len(freshness.pending)

        freshness.end(lambda offset: offset < 500)

        assert 20 == waiting
        assert (10, 10) == (len(freshness.pending), samples() - before)

    def test_oldest_is_always_known(self):
        """
        Also a change that comes right after a sample is followed, if nothing else waits.
        """
        freshness = Freshness()
        freshness.begin(0, 1.0, is_own=True)
        freshness.end(lambda _: True)

        freshness.begin(1, 1.001, is_own=True)

        assert [1.001] == [each.since_s for each in freshness.pending]


class TestAge:
    def test_worker_without_views(self):
        """
        A worker of a cluster has no views, and keeps nothing of what none shows.
        """
        keys = {"broker_url": "kafka://h:1", "role": "worker"}
        marks = Watermarks.of(Settings(**keys))

        marks.appended([Position(GROUPS, 0, 0)])

        assert 0 == marks.view_age_s

    async def test_follower_that_ends(self, store, warnings):
        """
        FlagstreamViewStale: once the follower has ended, the views grow older.
        """

        async def broken(_):
            raise RuntimeError("a defect")

        log = FakeLog()
        views = FollowedViews(Settings(), Watermarks.of(Settings()), log, store, broken)
        await views.start()
        log.append(Table.GROUPS.changelog, b"key", b"value")

        await asyncio.to_thread(until, lambda: views.view_age_s > 0)

        first = views.view_age_s
        assert views.view_age_s > first
        assert ["records cannot be decoded", "views-follower has ended"] == warnings()
        await views.stop()


class TestLags:
    def test_by_table(self, marks):
        """
        Each agent's lag is told, also of those that have none.
        """
        marks.appended([Position(GROUPS, n, 0) for n in range(3)])
        marks.appended([Position(Topic.SESSION_UPDATES.value, 0, 0)])
        show(marks, 0)

        changes = {table.value: lag for table, (lag, _) in marks.lags().items()}
        assert dict.fromkeys(Table, 0) | {"groups": 2, "sessions": 1} == changes

    def test_agent_that_stands_still(self):
        """
        FlagstreamLagging: the oldest record of an agent that folds nothing grows older.
        """
        now_ms = [1_000]
        marks = Watermarks(max_lag_changes=10, max_lag_s=2.0, clock_ms=lambda: now_ms[0])
        telemetry.show_lag(marks)
        marks.appended([Position(GROUPS, 0, 0)])

        now_ms[0] += 15_000

        lag_s = {"agent": "groups"}
        assert 15 == REGISTRY.get_sample_value("flagstream_lag_seconds", lag_s)
        show(marks, 0)
        assert 0 == REGISTRY.get_sample_value("flagstream_lag_seconds", lag_s)
