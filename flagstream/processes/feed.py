"""What a worker tells its API processes: every change of the views, and how far everything is."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from flagstream.ports import Append, Position, TopicPartition
from flagstream.state.sessions import SessionUpdate
from flagstream.topics import Table, Topic, key_parts, record_key
from flagstream.views import Merge, Watermarks

from .channel import Channel
from .messages import Landed, News

# An agent folds many records one after the other; nobody waits for those that change nothing.
_LINGER_S = 0.002
_MAX_BACKLOG_BYTES = 64 * 1024 * 1024
# What was stored of groups that change: in one message, and of a process that does not keep up.
_MAX_REPLACED_BYTES = 4 * 1024 * 1024
_WATCH_S = 0.1
_SOURCES = frozenset(table.source for table in Table)


class Feed:
    """
    Watches over the marks of a worker and its views, and tells all channels of what moves.

    Agents report to it as to :class:`Watermarks`. A channel hears nothing before the worker lets
    requests in; then it gets everything as it is, and from then on what moves, without a gap.

    Attributes:
        is_open: Whether requests are let in, as was told last.
        may_open: Tells whether they are to be let in.
    """

    def __init__(self, progress: Watermarks, may_open: Callable[[], bool]) -> None:
        self._progress = progress
        self.may_open = may_open
        self.is_open = False
        self._channels: set[Channel] = set()
        self._newcomers: set[Channel] = set()
        self._listening: set[Channel] = set()
        self._moved: set[TopicPartition] = set()
        self._stale: set[bytes] = set()
        self._projects: set[int] = set()
        self._replaced: dict[bytes, bytes | None] = {}
        self._replaced_bytes = 0
        self._timer: asyncio.Handle | None = None

    def add(self, channel: Channel) -> None:
        """Tell a channel from now on, until it is closed."""
        self._newcomers.add(channel)
        channel.closed.add_done_callback(lambda _: self._forget(channel))
        self.flush()

    def _forget(self, channel: Channel) -> None:
        self._channels.discard(channel)
        self._newcomers.discard(channel)
        self._listening.discard(channel)

    def listen(self, channel: Channel, *, is_listening: bool) -> None:
        """Note whether a process is to be told what was stored of groups that change."""
        if not is_listening:
            self._listening.discard(channel)
        elif not channel.closed.done():
            self._listening.add(channel)

    def folded(self, topic: str, partition: int, offset: int, changed_version: int | None) -> None:
        """Note a record that was folded."""
        self._progress.folded(topic, partition, offset, changed_version)
        self._move([TopicPartition(topic, partition)])

    def appended(
        self, appends: Sequence[Append], positions: Sequence[Position], by: Channel | None = None
    ) -> None:
        """
        Note records that were written, and tell of them.

        Args:
            by: Whose process knows them already.
        """
        self._progress.appended(positions)
        landed = [
            Landed(_read_under(append), position)
            for append, position in zip(appends, positions, strict=True)
            if append.topic in _SOURCES
        ]
        if landed:
            self._move(each.position.topic_partition for each in landed)
            self._tell(self._channels - {by}, News(self.is_open, landed=landed))

    async def changed(self, merge: Merge) -> None:
        """Note what was written to the views; its progress follows in the same turn."""
        if self._listening:
            self._replace(merge.replaced)
        self._stale |= merge.stale
        self._projects |= merge.projects
        places = (TopicPartition(table.source, number) for table, number, _ in merge.applied())
        self._moved.update(places)
        self._later(0)

    def _replace(self, replaced: Mapping[bytes, bytes | None]) -> None:
        for key, before in replaced.items():
            # One that has changed already is told with what was before that, or not at all.
            if key not in self._stale:
                self._replaced_bytes += len(before or b"")
                if self._replaced_bytes <= _MAX_REPLACED_BYTES:
                    self._replaced[key] = before

    async def watch(self) -> None:
        """Tell when requests are not let in any more, or again, for ever."""
        while True:
            if self.may_open() != self.is_open:
                self.flush()
            await asyncio.sleep(_WATCH_S)

    def flush(self) -> None:
        """Tell of everything that has moved."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.is_open = self.may_open()
        news = News(
            is_open=self.is_open,
            marks=self._progress.marks(self._moved),
            stale=list(self._stale),
            projects=list(self._projects),
        )
        replaced = list(self._replaced.items())
        self._moved, self._stale, self._projects = set(), set(), set()
        self._replaced, self._replaced_bytes = {}, 0
        whole = {each for each in self._listening if each.backlog_bytes <= _MAX_REPLACED_BYTES}
        self._tell(self._channels - whole, news)
        self._tell(self._channels & whole, msgspec.structs.replace(news, replaced=replaced))
        if self.is_open and self._newcomers:
            self._tell(self._newcomers, News(is_open=True, marks=self._progress.marks()))
            self._channels |= self._newcomers
            self._newcomers = set()

    def _move(self, places: Iterable[TopicPartition]) -> None:
        self._moved.update(places)
        self._later(_LINGER_S)

    def _later(self, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_later(delay_s, self.flush)
        elif not delay_s:
            self._timer.cancel()
            self._timer = loop.call_soon(self.flush)

    def _tell(self, channels: Iterable[Channel], news: News) -> None:
        for channel in channels:
            channel.tell(news)
            if channel.backlog_bytes > _MAX_BACKLOG_BYTES:
                # It stands still; another in its place begins with everything as it is.
                channel.close()


def _read_under(append: Append) -> bytes:
    """
    Find the key under which what a record changes is read.

    That of the record, but for sessions: what a distinct id remembers comes from the latest.
    """
    if append.topic is not Topic.SESSION_UPDATES:
        return append.key
    project_id, _ = key_parts(append.key)
    return record_key(project_id, SessionUpdate.from_bytes(append.value).distinct_id)
