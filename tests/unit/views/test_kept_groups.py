"""How groups were: whatever came in whichever order, it can be told for any time that is kept."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagstream.errors import UnavailableError
from flagstream.flags import finished
from flagstream.ports import LogRecord, TopicPartition
from flagstream.settings import Settings
from flagstream.state.groups import GroupState, GroupUpdate, fold_group
from flagstream.state.kept import STATE_EVERY, Beginning
from flagstream.topics import Topic, record_key, version_of
from flagstream.views import KeptGroups, KeptHistory, KeptReplica, ViewStore
from flagstream.views.group_history import KeptRun
from flagstream.views.kept_groups import beginning_key, kept_options, kept_path, trimmed
from tests.fakes.log import FakeLog
from tests.waiting import until

DAY_MS = 86_400_000
NOW_MS = 1_000 * DAY_MS
TOPIC = Topic.GROUP_UPDATES.value
ACME, GLOBEX = (1, "org", "acme"), (1, "org", "globex")
NAMES = st.sampled_from(["plan", "seats"])
VALUES = st.sampled_from([1, True, "gold", None])
PROPERTIES = st.dictionaries(NAMES, VALUES, max_size=2)
UPDATES = st.builds(
    GroupUpdate,
    time_ms=st.integers(0, 50),
    set=PROPERTIES,
    set_once=PROPERTIES,
    unset=st.lists(NAMES, max_size=1),
)
WRITES = st.lists(
    st.tuples(st.sampled_from([ACME, GLOBEX]), st.integers(0, 50), UPDATES), max_size=90
)


def records(writes):
    return [
        LogRecord(TOPIC, 0, offset, time_ms, record_key(*place), update.to_bytes())
        for offset, (place, time_ms, update) in enumerate(writes)
    ]


def keep(store, some, *, size=1_000, epoch=0, remembers=True):
    """Keep records, in runs of some size, by who remembers the ends of groups or not."""
    tails = {}
    for first in range(0, len(some), size):
        run = KeptRun(store, epoch, tails if remembers else {})
        for record in some[first : first + size]:
            run.add(record)
        store.write(run.changes, run.positions)
        run.settle()


def begin(store, version=0, time_ms=0, *, is_whole=True):
    beginning = Beginning(version=version, time_ms=time_ms, is_whole=is_whole)
    store.write({beginning_key(0): beginning.to_bytes()}, {})


def reading(store, *, days=90, now_ms=NOW_MS):
    return KeptGroups(store, history_days=days, is_ready=lambda: True, clock_ms=lambda: now_ms)


def folds(writes, epoch=0):
    """Fold the writes; yields the group's state after each, with the time from which it counts."""
    states, times = {}, {}
    for offset, (place, time_ms, update) in enumerate(writes):
        times[place] = max(time_ms, times.get(place, 0))
        states[place] = fold_group(states.get(place), update, version_of(epoch, offset))
        yield place, times[place], states[place]


def values(then):
    return None if then.state is None else then.state.values()


def exact(found):
    """Tell 1 and true apart, and nothing by its order."""
    return None if found is None else sorted((name, repr(value)) for name, value in found.items())


def expected_at(writes, place, time_ms):
    found = None
    for each, told_ms, state in folds(writes):
        if each == place and told_ms <= time_ms:
            found = state
    return None if found is None else found.values()


def present_of(writes, place):
    found = None
    for each, _, state in folds(writes):
        if each == place:
            found = state
    return found


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    def make():
        return ViewStore(tmp_path_factory.mktemp("kept"), kept_options)

    return make


class TestLaws:
    @settings(deadline=None, max_examples=25)  # every example opens RocksDB
    @given(writes=WRITES, size=st.integers(1, 40), remembers=st.booleans(), data=st.data())
    def test_as_of_any_time(self, stores, writes, size, remembers, data):
        """
        A group as of a time is the fold of the updates that were ingested up to then, however they
        were read; a clock that goes back makes none of them earlier than the one before.
        """
        store = stores()
        begin(store)
        keep(store, records(writes), size=size, remembers=remembers)
        groups = reading(store)

        for place in (ACME, GLOBEX):
            for time_ms in {0, 50, *data.draw(st.sets(st.integers(0, 50), max_size=5))}:
                then = groups.group_at(place, time_ms, present_of(writes, place))

                assert exact(expected_at(writes, place, time_ms)) == exact(values(then))
                assert not then.unknown
        store.close()

    @settings(deadline=None, max_examples=25)
    @given(writes=WRITES, cut=st.integers(0, 90), time_ms=st.integers(0, 50))
    def test_what_is_not_kept_is_never_guessed(self, stores, writes, cut, time_ms):
        """
        Where the log begins later, whatever is told is right, and what cannot be known is named.
        """
        store, all_records = stores(), records(writes)
        kept = all_records[cut:]
        begun_ms = kept[0].timestamp_ms if kept else 50
        begin(store, version_of(0, cut), begun_ms, is_whole=cut == 0)
        keep(store, kept)

        for place in (ACME, GLOBEX):
            told = list(folds(writes))
            # Times before the first that is kept are not asked for.
            before = [at for _, at, _ in told[:cut]]
            if time_ms < max([begun_ms, *before]):
                continue
            then = reading(store).group_at(place, time_ms, present_of(writes, place))
            expected = expected_at(writes, place, time_ms) or {}
            found = values(then) or {}

            for name in ("plan", "seats"):
                if name not in then.unknown:
                    assert repr(expected.get(name, "-")) == repr(found.get(name, "-"))
        store.close()

    @settings(deadline=None, max_examples=25)
    @given(writes=WRITES, oldest_ms=st.integers(0, 50), time_ms=st.integers(0, 50))
    def test_trimming_changes_nothing_that_is_kept(self, stores, writes, oldest_ms, time_ms):
        """
        What is older than anybody may ask for goes, and no answer changes.
        """
        store = stores()
        begin(store)
        keep(store, records(writes))

        first = finished(trimmed(store, lambda each: store.write(each, {}), oldest_ms))
        again = finished(trimmed(store, lambda each: store.write(each, {}), oldest_ms))

        told = [(place, at) for place, at, _ in folds(writes)]
        for place in (ACME, GLOBEX):
            if time_ms >= oldest_ms:
                then = reading(store).group_at(place, time_ms, present_of(writes, place))
                assert exact(expected_at(writes, place, time_ms)) == exact(values(then))
        old = [
            sum(at < oldest_ms for each, at in told if each == place) for place in (ACME, GLOBEX)
        ]
        assert (sum(max(0, count - 1) for count in old), 0) == (first, again)
        store.close()


class TestChanges:
    @pytest.fixture
    def store(self, tmp_path):
        store = ViewStore(tmp_path / "kept", kept_options)
        begin(store)
        yield store
        store.close()

    def test_from_and_to(self, store):
        """
        Each update says what it changed, from what to what; what it left alone is left out.
        """
        writes = [
            (ACME, NOW_MS - 3, GroupUpdate(time_ms=1)),
            (ACME, NOW_MS - 2, GroupUpdate(time_ms=1, set={"plan": "free", "seats": 1})),
            (ACME, NOW_MS - 1, GroupUpdate(time_ms=1, set={"plan": "gold", "seats": 1})),
            (ACME, NOW_MS, GroupUpdate(time_ms=1, unset=["plan"], set_once={"seats": 2})),
        ]
        keep(store, records(writes))

        page = reading(store).changes(ACME, present_of(writes, ACME), after=None, limit=9)

        assert [
            [("unset", "plan", "gold", None)],
            [("set", "plan", "free", "gold")],
            [("set", "plan", None, "free"), ("set", "seats", None, 1)],
            [],
        ] == [[each[:4] for each in change.properties] for change in page.changes]
        assert [NOW_MS, NOW_MS - 1, NOW_MS - 2, NOW_MS - 3] == [e.time_ms for e in page.changes]
        assert page.after is None

    @settings(deadline=None, max_examples=20)
    @given(count=st.integers(0, 3 * STATE_EVERY), limit=st.integers(1, 40))
    def test_pages(self, stores, count, limit):
        """
        Page after page each update is listed once, with what was there before.
        """
        store = stores()
        begin(store)
        writes = [(ACME, NOW_MS - 1, GroupUpdate(time_ms=1, set={"plan": n})) for n in range(count)]
        keep(store, records(writes))
        groups, found, after = reading(store), [], None
        while True:
            page = groups.changes(ACME, present_of(writes, ACME), after=after, limit=limit)
            found += [(each.before, each.after) for c in page.changes for each in c.properties]
            after = page.after
            if after is None:
                break
        store.close()

        assert [(n - 1 if n else None, n) for n in reversed(range(count))] == found

    def test_not_for_longer_than_it_is_kept(self, store):
        """
        Updates that are too old are not listed, but what they set is known as what was before.
        """
        writes = [
            (ACME, NOW_MS - 91 * DAY_MS, GroupUpdate(time_ms=1, set={"plan": "free"})),
            (ACME, NOW_MS, GroupUpdate(time_ms=1, set={"plan": "gold"})),
        ]
        keep(store, records(writes))

        page = reading(store).changes(ACME, present_of(writes, ACME), after=None, limit=9)

        ((change,),) = [each.properties for each in page.changes]
        assert ("free", "gold", True) == (change.before, change.after, change.is_before_known)

    def test_what_was_before_all_that_is_kept(self, store):
        """
        What an update replaced that comes from before is not made up.
        """
        begin(store, version_of(0, 5), NOW_MS - 9, is_whole=False)
        update = GroupUpdate(time_ms=1, set={"plan": "gold"})
        record = LogRecord(TOPIC, 0, 5, NOW_MS, record_key(*ACME), update.to_bytes())
        keep(store, [record])
        present = fold_group(None, update, 5)

        page = reading(store).changes(ACME, present, after=None, limit=9)

        assert not page.changes[0].properties[0].is_before_known


class Log(FakeLog):
    """A log that has forgotten its beginning, or whose reader has a bug."""

    first = 0
    is_broken = False

    async def follow(self, positions):
        async for records in super().follow(positions):
            if self.is_broken:
                raise RuntimeError
            yield records

    async def bounds(self, topics):
        found = await super().bounds(topics)
        return {place: (self.first, end) for place, (_, end) in found.items()}


def write(log, plan, place=ACME):
    update = GroupUpdate(time_ms=1, set={"plan": plan})
    return log.append(TOPIC, record_key(*place), update.to_bytes())


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def keeping(tmp_path, log):
    """A kept history that has caught up, as often as it is entered."""

    @asynccontextmanager
    async def keeping(epoch=0):
        given = Settings(data_dir=tmp_path, history_days=90)
        history = await KeptHistory.open(given, log, lambda _: epoch, lambda: NOW_MS)
        history.start()
        try:
            await history.ready()
            yield history
        finally:
            await history.stop()

    return keeping


def plan_at(history, time_ms, present=None):
    then = history.groups.group_at(ACME, time_ms, present)
    return None if then.state is None else then.state.values().get("plan")


class TestFollowing:
    async def test_goes_on(self, log, keeping):
        """
        What is kept outlives restarts, and what was written meanwhile is read.
        """
        write(log, "free")
        async with keeping():
            pass
        write(log, "gold")

        async with keeping() as history:
            assert ["free", "gold"] == [plan_at(history, time_ms) for time_ms in (0, 1)]
        assert 1 == log.followed[-1][TopicPartition(TOPIC, 0)]

    async def test_what_comes_while_it_runs(self, log, keeping):
        """
        An update is kept as soon as the log has it.
        """
        async with keeping() as history:
            write(log, "free")
            await asyncio.to_thread(until, lambda: plan_at(history, 5) == "free")

    @pytest.mark.parametrize(("first", "epoch"), [(2, 0), (0, 1)])
    async def test_begins_anew(self, log, keeping, first, epoch):
        """
        Where the log has lost what follows, or its offsets began anew, so does what is kept: no
        answer may miss an update.
        """
        write(log, "free")
        async with keeping():
            pass
        for plan in ("silver", "gold"):
            write(log, plan)
        log.first = first

        async with keeping(epoch) as history:
            assert NOW_MS - 90 * DAY_MS == history.groups.oldest_ms()
            present = fold_group(None, GroupUpdate(time_ms=1, set={"plan": "x"}), 2**60)
            then = history.groups.group_at(ACME, first, present)
            assert (first == 2) == ({"plan": "gold"} == values(then))

    async def test_poison(self, log, keeping):
        """
        What is no update is passed over: it is among the dead letters.
        """
        log.append(TOPIC, record_key(*ACME), b"poison")
        log.append(TOPIC, b"poison", b"{}")
        write(log, "gold")

        async with keeping() as history:
            assert "gold" == plan_at(history, 5)

    async def test_not_before_everything_is_read(self, tmp_path, log):
        """
        Until all is read, nothing is told.
        """
        given = Settings(data_dir=tmp_path)
        history = await KeptHistory.open(given, log, lambda _: 0, lambda: NOW_MS)

        with pytest.raises(UnavailableError):
            history.groups.oldest_ms()
        with pytest.raises(UnavailableError):
            history.groups.group_at(ACME, 0, None)
        await history.stop()

    async def test_from_another_process(self, tmp_path, log, keeping):
        """
        A replica tells what the process that keeps has written, once that has everything.
        """
        given = Settings(data_dir=tmp_path, history_days=90)
        replica = KeptReplica(given, tmp_path / "own")
        groups = KeptGroups(
            replica, history_days=90, is_ready=replica.is_ready, clock_ms=lambda: NOW_MS
        )
        with pytest.raises(UnavailableError):
            groups.oldest_ms()
        write(log, "free")

        async with keeping():
            await asyncio.to_thread(until, replica.is_ready)

            assert {"plan": "free"} == values(groups.group_at(ACME, 5, None))
        replica.close()
        assert kept_path(given).exists()

    async def test_what_is_left_is_not_whole(self, tmp_path, log, keeping):
        """
        A replica tells nothing of what an earlier process has kept before that has caught up, nor
        once the log is not followed any more.
        """
        given = Settings(data_dir=tmp_path, history_days=90)
        replica = KeptReplica(given, tmp_path / "own")
        async with keeping():
            await asyncio.to_thread(until, replica.is_ready)
        assert replica.is_ready()
        write(log, "free")
        history = await KeptHistory.open(given, log, lambda _: 0, lambda: NOW_MS)
        history.start()

        # Nothing is read meanwhile: the loop stands still.
        until(lambda: not replica.is_ready())
        await history.ready()
        await asyncio.to_thread(until, replica.is_ready)
        log.is_broken = True
        write(log, "gold")
        await asyncio.to_thread(until, lambda: not replica.is_ready())

        await history.stop()
        replica.close()

    async def test_storage_that_opens_again(self, log, keeping):
        """
        What cannot be forgotten while storage is opened again is forgotten later.
        """
        async with keeping() as history:
            history._store.close()
            while_closed = await history._tended()
            history._store.recover()

            assert [False, True] == [while_closed, await history._tended()]
            assert not history._keeping.done()


class TestBase:
    def test_written_before_and_never_since(self, tmp_path):
        """
        A property that was written last before all that is kept has been the same ever since.
        """
        store = ViewStore(tmp_path / "kept", kept_options)
        begin(store, version_of(0, 5), 100, is_whole=False)
        present: GroupState | None = None
        for version, properties in [(2, {"plan": "gold"}), (7, {"seats": 3})]:
            present = fold_group(present, GroupUpdate(time_ms=1, set=properties), version)

        then = reading(store).group_at(ACME, 150, present)

        assert ({"plan": "gold"}, {"seats"}) == (values(then), then.unknown)
        store.close()
