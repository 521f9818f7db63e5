"""What an agent makes of one record."""

from types import SimpleNamespace

import pytest

from flagstream.agents.folding import _fold_at_last, bury, fold
from flagstream.agents.guard import MAX_REASON_CHARS, Outcome, guard
from flagstream.errors import LogUnavailableError, RecordError
from flagstream.state.dead_letters import DeadLetter
from flagstream.state.groups import GroupUpdate
from flagstream.state.merge import REDUCERS
from flagstream.state.sessions import SessionUpdate
from flagstream.topics import Table, Topic, record_key

GROUP = record_key(1, "organization", "org:1")
GOLD = GroupUpdate(time_ms=1, set={"plan": "gold"}).to_bytes()
GROUPS = REDUCERS[Table.GROUPS]


class TestFold:
    def test_first_record_is_news(self):
        """
        A record that changes the state is written.
        """
        outcome = fold(GROUPS, None, GROUP, GOLD, 7)

        assert outcome.is_news
        assert {"plan": "gold"} == GROUPS.state.from_bytes(outcome.state).values()

    def test_replayed_record_is_not_written(self):
        """
        A record that was folded before changes nothing.
        """
        state = fold(GROUPS, None, GROUP, GOLD, 7).state

        assert Outcome(state=state, is_news=False) == fold(GROUPS, state, GROUP, GOLD, 7)

    def test_new_record_that_changes_nothing_is_not_written(self):
        """
        A fold that changes nothing writes nothing: here an old event that arrived late.
        """
        reducer, key = REDUCERS[Table.SESSIONS], record_key(1, "s")
        late, latest = (SessionUpdate(time_ms=n, distinct_id="u").to_bytes() for n in (1, 2))
        state = fold(reducer, None, key, latest, 7).state

        assert Outcome(state=state, is_news=False) == fold(reducer, state, key, late, 8)


class TestGuard:
    @pytest.mark.parametrize(
        ("key", "value", "reason"),
        [
            (None, GOLD, "RecordError: key: expected ['int', 'str', 'str'], got None"),
            (GROUP, None, "RecordError: GroupUpdate: Input data was truncated"),
            (GROUP, b"{}", "RecordError: GroupUpdate: Object missing required field `time_ms`"),
        ],
    )
    def test_poison_is_dead_with_its_reason(self, key, value, reason):
        """
        A record without a usable key or value is dead, and says why.
        """
        assert Outcome(dead=reason) == guard(lambda: fold(GROUPS, None, key, value, 7))

    def test_any_exception_is_an_outcome(self):
        """
        Nothing raises past the loop, and no reason is longer than the bound.
        """

        def explode():
            raise RecordError("x" * 9_999)

        assert MAX_REASON_CHARS == len(guard(explode).dead)


class FullDisk:
    """A sink that takes a write at the third attempt."""

    def __init__(self):
        self.attempts = 0
        self.taken = []

    async def append(self, appends):
        self.attempts += 1
        if self.attempts < 3:
            raise LogUnavailableError("disk full")
        self.taken += appends


class TestBury:
    async def test_dead_letter_outlasts_a_full_disk(self):
        """
        A dead letter is appended again until storage takes it.
        """
        letter = DeadLetter(
            topic=Topic.GROUP_UPDATES, partition=2, offset=5, timestamp_ms=1, reason="r", key=GROUP
        )
        sink = FullDisk()

        await bury(letter, sink)

        assert [(Topic.DEAD_LETTERS, GROUP, letter.to_bytes())] == sink.taken


class RecoveringTable(dict):
    """A table whose storage is opened again meanwhile, and refuses the first reads."""

    refusals = 2

    def get(self, key):
        if self.refusals:
            self.refusals -= 1
            raise LogUnavailableError("cannot be opened at the moment")
        return super().get(key)


class TestStorage:
    async def test_a_record_waits_for_its_table(self):
        """
        A record whose table cannot be read is neither dropped nor a dead letter: it waits.
        """
        table, message = RecoveringTable(), SimpleNamespace(key=GROUP, value=GOLD)

        outcome = await _fold_at_last(table, GROUPS, message, 7)

        assert outcome.dead is None
        assert {"plan": "gold"} == GROUPS.state.from_bytes(table[GROUP]).values()
