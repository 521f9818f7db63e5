"""The read side of a process, put together."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Self

from flagstream.ports import LogReader
from flagstream.settings import Settings
from flagstream.topics import Table

from .access import StoredAccess
from .announcing import Announcer
from .catalog import StoredCatalog
from .follower import Follower, Following, ended, has_failed
from .layout import FORMAT
from .merging import TABLES, Merge
from .peers import Peers
from .progress import Watermarks
from .state import StoredState
from .store import ViewReader, ViewStore


class Readers:
    """
    What requests read, and how it learns of changes.

    Attributes:
        state: Implements :class:`flagstream.ports.StateView`.
        catalog: Implements :class:`flagstream.ports.Catalog`.
        access: Implements :class:`flagstream.ports.Projects` and ``SecretKeys``.
        changes: Implements :class:`flagstream.ports.ChangeSource`.
        is_compiled: Whether the catalog holds all definitions.
    """

    def __init__(self, settings: Settings, store: ViewReader) -> None:
        self.state = StoredState(
            store,
            cache_entries=settings.view_cache_entries,
            active_groups_ttl_days=settings.active_groups_ttl_days,
        )
        self.catalog = StoredCatalog(store)
        self.access = StoredAccess(store, settings.project_token)
        self.changes = Announcer(self.catalog)
        self.is_compiled = False

    async def compile(self) -> None:
        """Compile all definitions of the store."""
        self.access.load()
        self.catalog.mark_all()
        await self.catalog.refresh()
        self.is_compiled = True

    async def changed(
        self,
        stale: Collection[bytes],
        projects: Collection[int],
        replaced: Mapping[bytes, bytes | None],
    ) -> None:
        """
        Take in a change of the store.

        Args:
            stale: Keys under which decoded objects may be cached.
            projects: Whose definitions or group types changed.
            replaced: What was stored of the groups that changed, by key, as far as that is known.
        """
        self.state.drop(stale)
        self.access.changed(stale)
        self.catalog.mark(projects)
        if not self.is_compiled:
            return
        if projects:
            await self.catalog.refresh()
        self.changes.announce(stale, projects, replaced)


class FollowedViews:
    """
    The views, and the follower that writes them.

    Attributes:
        progress: Implements :class:`flagstream.ports.Progress` and ``Admission``; agents and
            capture report to it.
    """

    def __init__(
        self,
        settings: Settings,
        progress: Watermarks,
        reader: LogReader,
        store: ViewStore,
        changed: Callable[[Merge], Awaitable[None]],
    ) -> None:
        """
        Prepare; :meth:`start` begins.

        Args:
            changed: Called with everything that was written, before progress tells of it.
        """
        self.progress = progress
        self._store = store
        self._changed = changed
        follower = Follower(store, reader, list(TABLES), lambda: Merge(store.get), self._publish)
        self._following = Following(follower, "views-follower")
        self._peers = Peers(reader, self.progress, follower.is_followed)
        self._has_peers = bool(settings.broker_url)
        self._looking: asyncio.Task[None] | None = None
        self._ended_s = math.inf

    async def start(self) -> None:
        """
        Begin to follow.

        Start it before whatever writes changelogs: it compares what it has with the log's end.
        """
        self._following.start(self._note_end)
        if self._has_peers:
            self._looking = asyncio.create_task(self._peers.run(), name="views-peers")
            self._looking.add_done_callback(self._note_end)

    async def ready(self) -> None:
        """Wait until everything that was in the log at the start can be read."""
        await self._following.ready()

    @property
    def is_ready(self) -> bool:
        """Whether the views are complete, followed, and take what follows."""
        return self._following.is_ready

    @property
    def view_age_s(self) -> float:
        """How old what requests read is, at most; 0 where it shows all that was acknowledged."""
        return max(self.progress.view_age_s, monotonic() - self._ended_s)

    def sessions(self, after: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the encoded sessions behind a key."""
        return self._store.states(Table.SESSIONS, after)

    async def stop(self) -> None:
        """Let nobody in any more, stop following and close the views."""
        self.progress.close()
        await ended(self._looking)
        await self._following.stop()
        self._store.close()

    async def _publish(self, merge: Merge) -> None:
        """Tell readers in an order in which nobody is told of what cannot be read yet."""
        await self._changed(merge)
        for table, partition, version in merge.applied():
            self.progress.applied(table, partition, version)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if has_failed(task):
            self._ended_s = monotonic()
            self.progress.close()


class ReadSide(FollowedViews):
    """
    Followed views that are read by requests of this process.

    Attributes:
        state: Implements :class:`flagstream.ports.StateView`.
        catalog: Implements :class:`flagstream.ports.Catalog`.
        access: Implements :class:`flagstream.ports.Projects` and ``SecretKeys``.
        changes: Implements :class:`flagstream.ports.ChangeSource`.
    """

    def __init__(self, settings: Settings, reader: LogReader, store: ViewStore) -> None:
        self._readers = Readers(settings, store)
        self.state, self.catalog = self._readers.state, self._readers.catalog
        self.access = self._readers.access
        self.changes = self._readers.changes
        super().__init__(settings, Watermarks.of(settings), reader, store, self._tell)

    @classmethod
    async def open(cls, settings: Settings, reader: LogReader) -> Self:
        """
        Open the views in the data directory.

        Raises:
            LogLockedError: Another process holds them.
            ViewError: They cannot be opened: disk full or not writable.
        """
        return cls(settings, reader, await open_store(settings))

    async def ready(self) -> None:
        """Wait until everything that was in the log at the start can be read."""
        await super().ready()
        await self._readers.compile()

    @property
    def is_ready(self) -> bool:
        """Whether the views are complete, followed, and take what follows."""
        return self._readers.is_compiled and super().is_ready

    async def _tell(self, merge: Merge) -> None:
        await self._readers.changed(merge.stale, merge.projects, merge.replaced)


async def open_store(settings: Settings) -> ViewStore:
    """
    Open the views in the data directory.

    Raises:
        LogLockedError: Another process holds them.
        ViewError: They cannot be opened: disk full or not writable.
    """
    return await asyncio.to_thread(ViewStore, views_path(settings))


def views_path(settings: Settings) -> Path:
    """
    Where the views of this version's format are.

    A version with another one builds its own beside, which a downgrade finds again; what is not
    wanted any more can be deleted.
    """
    return settings.data_dir / "views" / FORMAT
