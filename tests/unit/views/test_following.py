"""The views equal the changelogs, whatever happens on the way."""

import asyncio
import shutil
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagstream.errors import LogLockedError
from flagstream.ports import TopicPartition
from flagstream.settings import Settings
from flagstream.state.groups import GroupUpdate
from flagstream.state.merge import REDUCERS
from flagstream.state.sessions import SessionState, SessionUpdate
from flagstream.topics import Table, record_key
from flagstream.views import Merge, ViewStore, open_store, read_side
from flagstream.views.follower import Follower
from flagstream.views.layout import POSITION, active_entries, range_of
from flagstream.views.merging import TABLES
from tests.fakes.log import FakeLog

NAMES = st.sampled_from(["plan", "seats"])
UPDATES = {
    Table.GROUPS: st.builds(
        GroupUpdate, time_ms=st.integers(0, 5), set=st.dictionaries(NAMES, st.integers(0, 3))
    ),
    Table.SESSIONS: st.builds(
        SessionUpdate,
        time_ms=st.integers(0, 5),
        distinct_id=st.sampled_from(["u1", "u2", 'u"]']),
        groups=st.dictionaries(st.just("org"), st.sampled_from("xyz")),
        is_expiry=st.sampled_from([False, False, False, True]),
    ),
}
KEYS = {
    Table.GROUPS: st.sampled_from([record_key(1, "org", "a"), record_key(1, "org", "b")]),
    Table.SESSIONS: st.sampled_from([record_key(1, "s1"), record_key(1, "s2")]),
}


@st.composite
def changelogs(draw):
    """Records of both tables as agents write them."""
    states, records = {}, []
    for offset in range(draw(st.integers(0, 25))):
        table = draw(st.sampled_from(list(UPDATES)))
        key = draw(KEYS[table])
        update = draw(UPDATES[table]).to_bytes()
        states[table, key] = REDUCERS[table].fold(states.get((table, key)), update, offset)
        records.append((table, key, states[table, key]))
    return records


def joined(records):
    """Join all records of each key; a deletion forgets what came before."""
    states = {}
    for table, key, value in records:
        before = states.get((table, key))
        states[table, key] = None if value is None else REDUCERS[table].join(before, value)
    return {place: state for place, state in states.items() if state is not None}


def stored(store):
    return {
        (table, key[1:]): value for table in Table for key, value in store.items(*range_of(table))
    }


def indexed(states):
    entries = {}
    for (table, key), state in states.items():
        if table is Table.SESSIONS:
            entries.update(active_entries(key, SessionState.from_bytes(state)))
    return entries


async def follow(store, log):
    """Catch up once and stop."""

    async def publish(merge):
        pass

    follower = Follower(store, log, list(TABLES), lambda: Merge(store.get), publish)
    following = asyncio.create_task(follower.run())
    await asyncio.wait_for(follower.caught_up.wait(), 10)
    following.cancel()
    await asyncio.wait({following})


class TestEquality:
    @settings(deadline=None, max_examples=25)  # every example opens RocksDB several times
    @given(records=changelogs(), batches=st.lists(st.integers(1, 7), min_size=1), data=st.data())
    def test_views_are_the_join_of_the_changelogs(self, tmp_path_factory, records, batches, data):
        """
        Batches, restarts, duplicates and replays from older offsets all end in the same views.
        """
        path = tmp_path_factory.mktemp("views")
        log, written = FakeLog(), 0
        try:
            for batch in batches:
                ends = data.draw(st.integers(written, len(records)))
                for table, key, value in records[written:ends]:
                    log.extend(table.changelog, [(key, value)])
                written, log.batch = ends, batch
                store = ViewStore(path)
                _rewind(store, data)
                asyncio.run(follow(store, log))
                states = joined(records[:written])

                assert states == stored(store)
                assert indexed(states) == dict(store.items(b"a", b"b"))
                store.close()
        finally:
            shutil.rmtree(path)

    async def test_compaction_changes_nothing(self, store, log, write):
        """
        Where only the last record of a key is left, the views are the same; also at the log's end.
        """
        key = (1, "s1")
        write(Table.SESSIONS, key, SessionUpdate(time_ms=1, distinct_id="u1", groups={}))
        write(Table.SESSIONS, key, SessionUpdate(time_ms=9, is_expiry=True))
        for offset in (0, 1):
            log.compact(Table.SESSIONS.changelog, offset)

        await follow(store, log)

        assert {} == stored(store)


def _rewind(store, data):
    positions = {
        place: data.draw(st.integers(0, offset)) for place, offset in store.positions().items()
    }
    store.write({}, positions)


class TestResuming:
    async def test_goes_on_where_it_stopped(self, store, log, write):
        """
        A second start reads only what came meanwhile.
        """
        for seats in range(3):
            write(Table.GROUPS, (1, "org", "a"), GroupUpdate(time_ms=1, set={"n": seats}))
        await follow(store, log)

        await follow(store, log)

        groups = TopicPartition(Table.GROUPS.changelog, 0)
        assert [0, 3] == [positions[groups] for positions in log.followed]

    async def test_log_that_is_behind_the_views(self, store, log, write, warnings):
        """
        Views of a log that was created anew are dropped and rebuilt, with a warning.
        """
        write(Table.GROUPS, (1, "org", "old"), GroupUpdate(time_ms=1))
        write(Table.GROUPS, (1, "org", "old"), GroupUpdate(time_ms=1, set={"n": 1}))
        await follow(store, log)
        other = FakeLog()
        other.extend(
            Table.GROUPS.changelog, [(b'[1,"org","new"]', b'{"version":1,"created_at_ms":1}')]
        )

        await follow(store, other)

        assert [(Table.GROUPS, b'[1,"org","new"]')] == list(stored(store))
        assert ["views are ahead of the log and are rebuilt"] == warnings()

    async def test_broken_log_is_followed_again(self, store, log, write, monkeypatch):
        """
        A follower whose log fails goes on from where it was once the log is back.
        """
        monkeypatch.setattr("flagstream.views.follower._RETRY_S", 0)
        log.failures = 3
        write(Table.GROUPS, (1, "org", "a"), GroupUpdate(time_ms=1))

        await follow(store, log)

        assert 1 == len(stored(store))

    @pytest.mark.parametrize(
        "record",
        [(b'[1,"org","a"]', b"{"), (b'[1,"org","a"]', b"{}"), (b"\xff", b"{}"), (b"[1]", b"{}")],
    )
    async def test_undecodable_record_is_skipped(self, store, log, write, warnings, record):
        """
        A record that cannot be decoded is named and counted; all others are merged.
        """
        log.append(Table.GROUPS.changelog, *record)
        write(Table.GROUPS, (1, "org", "b"), GroupUpdate(time_ms=1))

        await follow(store, log)

        assert [(Table.GROUPS, b'[1,"org","b"]')] == list(stored(store))
        assert ["records cannot be decoded"] == warnings()


class TestStore:
    async def test_other_format_is_kept(self, tmp_path, monkeypatch):
        """
        Views of another format are not misread, and are found again by the version that wrote them.
        """
        settings = Settings(data_dir=tmp_path)
        store = await open_store(settings)
        store.write({b"gkey": b"value"}, {TopicPartition("t", 0): 7})
        store.close()

        with monkeypatch.context() as upgrade:
            upgrade.setattr(read_side, "FORMAT", "another")
            store = await open_store(settings)
        assert ({}, None) == (store.positions(), store.get(b"gkey"))
        store.reset()
        store.close()

        store = await open_store(settings)
        assert b"value" == store.get(b"gkey")
        store.close()

    def test_corrupt_directory_is_dropped(self, tmp_path, warnings):
        """
        A directory that RocksDB calls corrupt is rebuilt.
        """
        store = ViewStore(tmp_path)
        store.write({}, {TopicPartition("t", 0): 7})
        store.close()
        (tmp_path / "CURRENT").write_text("no manifest")

        store = ViewStore(tmp_path)

        assert {} == store.positions()
        assert ["views are corrupt and are rebuilt"] == warnings()
        store.close()

    def test_second_process_is_refused(self, store, tmp_path):
        """
        Nobody opens, let alone drops, a directory that is in use.
        """
        with pytest.raises(LogLockedError, match="another process"):
            ViewStore(tmp_path / "views")

    def test_positions_survive(self, store):
        """
        Offsets are kept by topic and partition.
        """
        positions = {TopicPartition("a", 0): 3, TopicPartition("a", 12): 0}

        store.write({}, positions)

        assert positions == store.positions()
        assert 2 == len(list(store.items(POSITION, POSITION + b"\xff")))

    def test_recovers_after_being_closed(self, store):
        """
        A store that was closed takes writes again once it is recovered, and has lost nothing.
        """
        store.write({b"gkey": b"value"}, {})
        store.close()

        assert store.recover()
        assert b"value" == store.get(b"gkey")


class TestSlices:
    async def test_requests_run_during_catch_up(self, store, log):
        """
        The event loop turns many times while a long changelog is read in one batch.
        """
        state = b'{"version":1,"created_at_ms":1,"properties":{"plan":["gold",1]}}'
        log.batch = 20_000
        keys = [record_key(1, "org", f"{number}") for number in range(20_000)]
        log.extend(Table.GROUPS.changelog, [(key, state) for key in keys])
        turns = defaultdict(int)

        async def other_work():
            while True:
                turns["taken"] += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(other_work())
        await follow(store, log)
        other.cancel()

        assert 20_000 == len(stored(store))
        assert turns["taken"] > 10
