"""Sessions that are forgotten."""

from flagstream.expiry import forget_sessions
from flagstream.state.sessions import ActiveGroups, SessionState, SessionUpdate
from flagstream.topics import Topic, record_key


class ListSink:
    """Keeps what was appended."""

    def __init__(self):
        self.appended = []

    async def append(self, appends):
        self.appended += appends
        return []


def session(number, *times_ms):
    maps = {
        f"user-{at}": ActiveGroups(time_ms=at, version=at, groups={"organization": "org:1"})
        for at in times_ms
    }
    return record_key(1, f"{number:05}"), SessionState(version=1, maps=maps).to_bytes()


class TestForgetSessions:
    async def test_only_old_sessions_expire(self):
        """
        A session expires by its latest map, with that map's time, so that later use keeps it.
        """
        stored = [session(1, 5, 9), session(2, 5, 11), session(3, 2)]
        sink = ListSink()

        count = await forget_sessions(
            lambda after: (entry for entry in stored if entry[0] > after), sink, 10
        )

        expected = [
            (
                Topic.SESSION_UPDATES,
                stored[at][0],
                SessionUpdate(time_ms=ms, is_expiry=True).to_bytes(),
            )
            for at, ms in ((0, 9), (2, 2))
        ]
        assert (2, expected) == (count, sink.appended)

    async def test_all_slices_are_examined(self):
        """
        Sessions beyond the first slice expire, too.
        """
        stored = [session(number, 1) for number in range(450)]

        count = await forget_sessions(
            lambda after: (entry for entry in stored if entry[0] > after), ListSink(), 10
        )

        assert 450 == count
