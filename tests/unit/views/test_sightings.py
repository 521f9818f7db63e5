"""Which events the log has had: known over restarts and processes, for a while."""

import logging
import uuid

import pytest

from flagstream.settings import Settings
from flagstream.state.events import EventRecord
from flagstream.topics import Topic, record_key
from flagstream.views import SeenEvents, SeenReplica, sightings

HOUR_S = 3_600
UUID = str(uuid.UUID(int=1))
NO_KEYS = [b"", b"x", b"[]", b"[null]", b"[[]]", b"[-1]", b"{}", b"1", b"\xff"]


@pytest.fixture
def send(log):
    """Append an event of a project; returns its uuid."""

    def send(project_id=1):
        sent = str(uuid.uuid4())
        event = EventRecord(uuid=sent, event="ev", distinct_id="u", time_ms=1, received_ms=1)
        log.append(Topic.EVENTS, record_key(project_id, "u"), event.to_bytes())
        return sent

    return send


@pytest.fixture
async def opened(tmp_path, log):
    """Open what is known and catch up; as often as it is called, each time as a new process."""
    running = []

    async def opened(**settings):
        for each in running:
            await each.stop()
        seen = await SeenEvents.open(Settings(data_dir=tmp_path, **settings), log)
        running[:] = [seen]
        seen.start()
        await seen.ready()
        return seen

    yield opened

    for each in running:
        await each.stop()


class TestSeenEvents:
    async def test_by_project_and_uuid(self, opened, send):
        """
        An event is known by its uuid, in its own project alone.
        """
        sent = send()

        seen = await opened()

        assert seen.has(1, sent)
        assert not seen.has(2, sent)
        assert not seen.has(1, str(uuid.uuid4()))

    async def test_goes_on(self, opened, send, log):
        """
        After a restart what came before is known without being read again.
        """
        before = send()
        await opened()
        after = send()

        seen = await opened()

        assert seen.has(1, before)
        assert seen.has(1, after)
        assert [0, 1] == [next(iter(positions.values())) for positions in log.followed]

    async def test_however_it_is_written(self, opened, log):
        """
        Members may be in any order: other versions wrote events, too.
        """
        sent = str(uuid.uuid4())
        log.append(Topic.EVENTS, b"[1]", b'{"event":"ev","uuid":"%s"}' % sent.encode())

        seen = await opened()

        assert seen.has(1, sent)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            (b"[1]", b"{}"),
            (b"[1]", b'{"uuid":"'),
            (b"[1]", b'{"uuid":5}'),
            (b"[1]", None),
            *((key, b'{"uuid":"%s"}' % UUID.encode()) for key in NO_KEYS),
        ],
    )
    async def test_no_event(self, opened, send, log, caplog, key, value):
        """
        A record that is no event is passed over, and named.
        """
        log.append(Topic.EVENTS, key, value)
        sent = send()
        caplog.set_level(logging.ERROR)

        seen = await opened()

        assert seen.has(1, sent)
        assert ["records cannot be decoded"] == [record.message for record in caplog.records]

    async def test_long_away(self, opened, send, monkeypatch):
        """
        Who comes late reads only the latest of each partition.
        """
        monkeypatch.setattr(sightings, "_MAX_BEHIND", 2)
        sent = [send() for _ in range(4)]

        seen = await opened()

        assert [False, False, True, True] == [seen.has(1, each) for each in sent]

    async def test_positions_outlive_old_events(self, opened, send, log, tmp_path):
        """
        Where the oldest files are dropped by age, reading goes on where it stopped.
        """
        send()
        seen = await opened(deduplicate_hours=1 / HOUR_S)
        seen._store._rdict.flush()
        log.append(Topic.EVENTS, b"[1]", b"none")
        await opened(deduplicate_hours=1 / HOUR_S)

        await opened()

        assert 2 == next(iter(log.followed[-1].values()))

    async def test_after_closing(self, opened, send):
        """
        While nothing can be read, nothing is known: better twice than lost.
        """
        sent = send()
        seen = await opened()

        await seen.stop()

        assert not seen.has(1, sent)


class TestReplica:
    async def test_of_another_process(self, opened, send, tmp_path):
        """
        Another process knows the same, once it has looked again.
        """
        now_s = [0.0]
        replica = SeenReplica(Settings(data_dir=tmp_path), tmp_path / "own", lambda: now_s[0])
        first = send()
        assert not replica.has(1, first)
        await opened()
        now_s[0] = 1.0
        assert replica.has(1, first)
        second = send()
        await opened()

        assert not replica.has(1, second)
        now_s[0] = 2.0
        assert replica.has(1, second)
        replica.close()
