import asyncio
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from flagstream.transport.log import Log, NewRecord
from flagstream.transport.options import LogOptions

TOPICS = {"plain": False, "compacted": True}
PARTITIONS = 2
PLACES = st.tuples(st.sampled_from(sorted(TOPICS)), st.integers(0, PARTITIONS - 1))
KEYS = st.sampled_from([b"", b"a", b"b", b"c"])
VALUES = st.none() | st.binary(max_size=8)
RECORDS = st.lists(st.tuples(PLACES, KEYS, VALUES), max_size=6)


class LogMachine(RuleBasedStateMachine):
    """
    A log answers like a list of records per partition, whatever it goes through.
    """

    def __init__(self):
        super().__init__()
        self._runner = asyncio.Runner()
        self._directory = tempfile.TemporaryDirectory()
        self._written = {(topic, number): [] for topic in TOPICS for number in range(PARTITIONS)}
        self._committed = {}
        self._open()

    def _open(self):
        self._log = Log(LogOptions(directory=Path(self._directory.name), fsync="never"))
        for topic, is_compacted in TOPICS.items():
            self._log.create_topic(topic, PARTITIONS, is_compacted=is_compacted)

    def _expect(self, records):
        offsets = []
        for place, key, value in records:
            offsets.append(len(self._written[place]))
            self._written[place].append((key, value))
        return offsets

    @rule(records=RECORDS)
    def append(self, records):
        new = [NewRecord(*place, key, value, 1) for place, key, value in records]

        assert self._expect(records) == self._runner.run(self._log.append(new))

    @rule(records=RECORDS)
    def post(self, records):
        async def post():
            for place, key, value in records:
                self._log.post(NewRecord(*place, key, value, 1))
            await self._log.flush()

        self._runner.run(post())
        self._expect(records)

    @rule(place=PLACES, offset=st.integers(0, 20))
    def commit(self, place, offset):
        self._runner.run(self._log.commit("group", {place: offset}))
        self._committed[place] = offset

    @rule()
    def reopen(self):
        self._runner.run(self._log.close())
        self._open()

    @rule()
    def retain(self):
        self._runner.run(self._retain())

    async def _retain(self):
        self._log.retain(now_ms=2)

    @rule(place=PLACES, start=st.integers(0, 12), limit=st.integers(1, 12))
    def read_from_disk(self, place, start, limit):
        """
        What RocksDB holds is what compaction has to leave.
        """
        history = list(enumerate(self._written[place]))
        if TOPICS[place[0]]:
            last = {key: offset for offset, (key, _) in history}
            history = [(offset, line) for offset, line in history if last[line[0]] == offset]
        expected = [(offset, *line) for offset, line in history if offset >= start][:limit]
        found = self._log.partition(*place)._scan(start, limit)

        assert expected == [(record.offset, record.key, record.value) for record in found]

    @rule(place=PLACES, start=st.integers(0, 12), limit=st.integers(1, 12))
    def read(self, place, start, limit):
        """
        A reader gets every key's last record, in order, and no record twice.
        """
        found = self._log.partition(*place).read(start, limit)
        offsets = [record.offset for record in found]
        history = self._written[place]

        assert sorted(set(offsets)) == offsets
        assert [history[record.offset] for record in found] == [(r.key, r.value) for r in found]
        if not TOPICS[place[0]]:
            assert list(range(start, len(history)))[:limit] == offsets

    @invariant()
    def bounds_and_commits_agree(self):
        for place, history in self._written.items():
            bounds = self._log.partition(*place).bounds
            assert (0, len(history)) == (bounds.start, bounds.end)
            assert self._committed.get(place) == self._log.committed("group", *place)

    def teardown(self):
        self._runner.run(self._log.close())
        self._runner.close()
        self._directory.cleanup()


TestLogModel = LogMachine.TestCase
TestLogModel.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
