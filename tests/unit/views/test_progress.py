"""Waiting for a change, and refusing work before a backlog grows."""

import asyncio
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagstream.errors import OverloadedError, UnavailableError
from flagstream.ports import Position, TopicPartition
from flagstream.topics import Table, Topic, version_of
from flagstream.views import Watermarks

GROUPS = Topic.GROUP_UPDATES.value


class Clock:
    now_ms = 1_000_000

    def __call__(self):
        return self.now_ms


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def marks(clock):
    marks = Watermarks(max_lag_changes=10, max_lag_s=2.0, clock_ms=clock)
    marks.open()
    return marks


def first_epoch(_topic):
    return 0


def at(offset, partition=0, topic=GROUPS):
    return Position(topic, partition, offset)


def append(marks, count, partition=0):
    marks.appended([at(offset, partition) for offset in range(count)])


class TestVisibility:
    @pytest.mark.parametrize(("epoch", "offset"), [(3, 5), (0, 0)])
    def test_needs_fold_and_view(self, marks, epoch, offset):
        """
        A change is visible once it is folded and its version is in the views, in this order.
        """
        version = version_of(epoch, offset)
        assert not marks.is_visible(at(offset))

        marks.folded(GROUPS, 0, offset, version)
        assert not marks.is_visible(at(offset))

        marks.applied(Table.GROUPS, 0, version)
        assert marks.is_visible(at(offset))

    def test_record_that_changed_nothing(self, marks):
        """
        A record that changed nothing is visible when the change before it is.
        """
        marks.folded(GROUPS, 0, 5, 5)
        marks.folded(GROUPS, 0, 6, None)
        assert not marks.is_visible(at(6))

        marks.applied(Table.GROUPS, 0, 5)
        assert marks.is_visible(at(6))

    def test_later_changes_do_not_hide_earlier(self, marks):
        """
        Under steady writes an applied change counts as visible.
        """
        for offset in range(9):
            marks.folded(GROUPS, 0, offset, version_of(2, offset))
        marks.applied(Table.GROUPS, 0, version_of(2, 4))

        assert [True] * 5 + [False] * 4 == [marks.is_visible(at(offset)) for offset in range(9)]

    def test_partitions_and_tables_are_apart(self, marks):
        """
        Progress elsewhere says nothing.
        """
        marks.folded(GROUPS, 0, 5, 5)
        marks.applied(Table.GROUPS, 1, 9)
        marks.applied(Table.PERSONS, 0, 9)

        assert not marks.is_visible(at(5))

    @pytest.mark.parametrize("topic", [Topic.EVENTS, Topic.DEAD_LETTERS])
    async def test_topics_without_a_table(self, marks, topic):
        """
        A record that no table is folded from is visible at once and never lags.
        """
        marks.appended([at(7, topic=topic)])
        marks.folded(topic, 0, 0, None)

        assert await marks.wait_visible([at(7, topic=topic)], 0)
        assert 0 == marks.lag_changes

    async def test_what_was_committed_before_the_start(self, marks):
        """
        After a restart everything up to the committed offset is visible.
        """
        marks.begin(
            {TopicPartition(GROUPS, 0): (0, 9)}, {TopicPartition(GROUPS, 0): 6}, first_epoch
        )

        assert [True, False] == [marks.is_visible(at(offset)) for offset in (5, 6)]


class TestWaiting:
    async def test_wakes_when_the_last_is_visible(self, marks):
        """
        A wait for several positions ends with the last of them.
        """
        waiting = asyncio.create_task(
            marks.wait_visible([at(3), at(1, 1), at(9, topic=Topic.EVENTS)], math.inf)
        )
        await asyncio.sleep(0)
        marks.folded(GROUPS, 0, 3, 3)
        marks.folded(GROUPS, 1, 1, None)
        marks.applied(Table.GROUPS, 0, 2)
        await asyncio.sleep(0)
        assert not waiting.done()

        marks.applied(Table.GROUPS, 0, 3)

        assert await waiting

    async def test_folded_but_not_applied(self, marks):
        """
        A wait that begins between the fold and the view ends with the view.
        """
        marks.folded(GROUPS, 0, 3, 3)
        waiting = asyncio.create_task(marks.wait_visible([at(3)], math.inf))
        await asyncio.sleep(0)
        marks.applied(Table.GROUPS, 0, 3)

        assert await waiting

    async def test_gives_up_in_time(self, marks):
        """
        Past its time a wait says so and leaves nothing behind.
        """
        marks.folded(GROUPS, 0, 3, 3)

        assert not await marks.wait_visible([at(3), at(4)], 0.001)

        partition = marks._partitions[TopicPartition(GROUPS, 0)]
        assert ([], []) == (partition.unfolded, partition.unapplied)

    async def test_cancelled_wait_leaves_nothing(self, marks):
        """
        A client that goes away costs nothing later.
        """
        waiting = asyncio.create_task(marks.wait_visible([at(3)], math.inf))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        marks.folded(GROUPS, 0, 3, None)

        assert [] == marks._partitions[TopicPartition(GROUPS, 0)].unfolded

    @settings(deadline=None)  # turns of an event loop on a shared machine
    @given(
        waits=st.lists(st.integers(0, 9), min_size=1, max_size=9),
        changes=st.lists(st.booleans(), min_size=10, max_size=10),
        data=st.data(),
    )
    def test_a_waiter_is_woken_when_it_sees_its_change(self, waits, changes, data):
        """
        Whatever the order of folding and applying, a wait ends exactly when all is applied that
        had changed when its record was folded.
        """

        async def run():
            marks = Watermarks(max_lag_changes=10, max_lag_s=2.0)
            waiting = {
                number: asyncio.create_task(marks.wait_visible([at(offset)], math.inf))
                for number, offset in enumerate(waits)
            }
            await asyncio.sleep(0)
            folded, applied = 0, 0
            written = [offset + 1 for offset in range(10) if changes[offset]]
            while folded < 10 or applied < len(written):
                can_apply = applied < len(written) and written[applied] <= folded
                if can_apply and (folded == 10 or data.draw(st.booleans())):
                    marks.applied(Table.GROUPS, 0, written[applied])
                    applied += 1
                else:
                    version = folded + 1 if changes[folded] else None
                    marks.folded(GROUPS, 0, folded, version)
                    folded += 1
                for _ in range(3):
                    await asyncio.sleep(0)
                for number, offset in enumerate(waits):
                    before = [version for version in written if version <= offset + 1]
                    is_due = offset < folded and len(before) <= applied
                    assert is_due is waiting[number].done()

        asyncio.run(run())


class TestPeers:
    """Workers of other processes fold as well, and tell nothing."""

    @pytest.fixture
    def marks(self, clock):
        return Watermarks(max_lag_changes=10, max_lag_s=2.0, has_peers=True, clock_ms=clock)

    async def test_what_is_in_the_views_was_folded(self, marks):
        """
        A change of another worker is visible, and lags no more, once it is in the views.
        """
        append(marks, 3)
        waiting = asyncio.create_task(marks.wait_visible([at(0), at(1)], math.inf))
        await asyncio.sleep(0)
        marks.applied(Table.GROUPS, 0, 1)

        assert await waiting
        assert [True, True, False] == [marks.is_visible(at(offset)) for offset in range(3)]
        assert 1 == marks.lag_changes

    async def test_versions_of_an_older_epoch(self, marks):
        """
        A state from before the topics were made anew says nothing of what is in them now.
        """
        marks.begin({TopicPartition(GROUPS, 0): (0, 3)}, {}, lambda _: 2)

        marks.applied(Table.GROUPS, 0, version_of(1, 7))
        assert (3, False) == (marks.lag_changes, marks.is_visible(at(0)))

        marks.applied(Table.GROUPS, 0, version_of(2, 1))
        assert (1, True) == (marks.lag_changes, marks.is_visible(at(1)))

    async def test_what_changed_nothing(self, marks):
        """
        A record that no state shows is visible once that is known otherwise.
        """
        append(marks, 2)
        waiting = asyncio.create_task(marks.wait_visible([at(1)], math.inf))
        await asyncio.sleep(0)
        marks.applied(Table.GROUPS, 0, 0)
        assert {TopicPartition(GROUPS, 0): 1} == marks.unsettled()
        marks.settled(TopicPartition(GROUPS, 0), 2)

        assert await waiting
        assert ({}, 0) == (marks.unsettled(), marks.lag_changes)

    async def test_a_foreign_position(self, marks):
        """
        What was written elsewhere can be waited for and is no lag of its own: anybody can name it.
        """
        assert not await marks.wait_visible([at(1_000_000)], 0)
        assert 0 == marks.lag_changes

    def test_what_others_wrote_lags(self, marks, clock):
        """
        The backlog is that of the log, whoever wrote it, and as old as it is seen to be.
        """
        place = TopicPartition(GROUPS, 0)
        marks.ends({place: 4})
        clock.now_ms += 1_000
        marks.ends({place: 6})
        clock.now_ms += 500
        assert (6, 1.5) == (marks.lag_changes, marks.lag_s)

        marks.applied(Table.GROUPS, 0, 3)
        assert (2, 0.5) == (marks.lag_changes, marks.lag_s)


class TestAdmission:
    def test_lets_in_while_it_keeps_up(self, marks, clock):
        """
        A backlog within both limits is no reason to refuse.
        """
        append(marks, 10)
        clock.now_ms += 2_000

        marks.admit()

        assert (10, 2.0) == (marks.lag_changes, marks.lag_s)

    def test_too_many(self, marks):
        """
        Past the number of changes clients are told to come back, and are let in again later.
        """
        append(marks, 6)
        append(marks, 5, partition=1)
        with pytest.raises(OverloadedError) as refused:
            marks.admit()

        marks.folded(GROUPS, 1, 0, None)

        assert 1 == refused.value.retry_after_s
        marks.admit()

    def test_too_old(self, marks, clock):
        """
        Past the age of the oldest change clients are told to come back after about that time.
        """
        append(marks, 2)
        clock.now_ms += 2_000
        marks.appended([at(2)])
        clock.now_ms += 500
        with pytest.raises(OverloadedError) as refused:
            marks.admit()

        marks.folded(GROUPS, 0, 0, None)
        assert 2.5 == marks.lag_s
        marks.folded(GROUPS, 0, 1, None)

        assert 3 == refused.value.retry_after_s
        assert 0.5 == marks.lag_s
        marks.admit()

    def test_idle_hours_are_no_lag(self, marks, clock):
        """
        The first change after a long silence finds the doors open.
        """
        append(marks, 1)
        marks.folded(GROUPS, 0, 0, None)
        clock.now_ms += 7_200_000
        marks.admit()
        append(marks, 2)

        marks.admit()

        assert (1, 0.0) == (marks.lag_changes, marks.lag_s)

    def test_agent_faster_than_the_acknowledgement(self, marks):
        """
        A record that is folded before capture has noted it leaves no lag behind.
        """
        marks.folded(GROUPS, 0, 0, None)
        append(marks, 1)

        assert 0 == marks.lag_changes

    def test_backlog_of_the_start_counts(self, marks):
        """
        What lay in the log unfolded at the start is lag; what retention removed is not.
        """
        places = [TopicPartition(GROUPS, number) for number in range(3)]
        bounds = dict(zip(places, [(0, 9), (5, 7), (0, 4)], strict=True))

        marks.begin(bounds, {places[0]: 4, places[1]: 2, places[2]: 6}, first_epoch)

        assert 5 + 2 == marks.lag_changes

    def test_closed(self, marks):
        """
        While it starts or stops the server refuses everybody for the moment.
        """
        marks.close()

        with pytest.raises(UnavailableError) as refused:
            marks.admit()
        assert 1 == refused.value.retry_after_s
