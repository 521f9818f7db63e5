"""What backends are told: the flags that changed, and the groups for which they did."""

from collections import deque
from collections.abc import Mapping
from random import getrandbits

import orjson

from flagstream.errors import FlagstreamError
from flagstream.flags import Difference, Steps
from flagstream.ports import Catalog, Changes, StateView
from flagstream.state.groups import GroupState

from .connections import MAX_WAITING_BYTES, Connection
from .events import event, start
from .group_changes import group_change

MAX_KEPT_BYTES = MAX_WAITING_BYTES // 2
"""Of the events that a client that comes back is told, so that others have room behind them."""
MAX_GROUPS = 5_000
"""Groups that are told of at once; of more, clients are told to read everything."""
_RESYNC = "resync"


class ChangeFeed:
    """Tells of all changes of a project, in the order of their numbers."""

    def __init__(self, catalog: Catalog, view: StateView) -> None:
        self._catalog = catalog
        self._view = view
        self._projects: dict[int, _Project] = {}

    def join(self, connection: Connection, last_id: str) -> None:
        """
        Tell a client of everything that follows.

        Args:
            last_id: Of the last event that it has; what it missed follows, or the advice to read
                everything anew where that is not known. "" for who is here for the first time.
        """
        project_id = connection.project_id
        project = self._projects.get(project_id)
        if project is None:
            project = self._projects[project_id] = _Project()
        connection.send(project.since(last_id))
        project.connections.add(connection)

    def leave(self, connection: Connection) -> None:
        """Tell a client nothing more."""
        project = self._projects.get(connection.project_id)
        if project is not None:
            project.connections.discard(connection)

    def forget(self) -> None:
        """Forget what was told: nobody listens."""
        self._projects.clear()

    def resync(self) -> None:
        """Tell everybody to read everything."""
        for project in self._projects.values():
            project.tell(_RESYNC, {"reason": "something has changed that cannot be told"})

    def note(self, changes: Changes) -> None:
        """Note what has changed."""
        for project_id, flags in changes.flags.items():
            if project_id in self._projects:
                self._projects[project_id].flags.update(flags)
        for (project_id, group_type, group_key), before in changes.groups.items():
            if project_id in self._projects:
                self._projects[project_id].groups.setdefault((group_type, group_key), before)
        for project_id, group_type, _ in changes.untold:
            if project_id in self._projects:
                self._projects[project_id].untold.add(group_type)

    def flush(self) -> Steps[None]:
        """Tell of everything that was noted."""
        for project_id, project in list(self._projects.items()):
            yield from self._flush(project_id, project)

    def _flush(self, project_id: int, project: "_Project") -> Steps[None]:
        flags, groups, untold = project.flags, project.groups, project.untold
        project.flags, project.groups, project.untold = {}, {}, set()
        for key, difference in flags.items():
            project.tell("flag", {"key": key, "change": difference})
        if len(groups) > MAX_GROUPS:
            project.tell(_RESYNC, {"reason": "too many groups have changed at once"})
            return
        try:
            if not untold.isdisjoint(self._catalog.project(project_id).flags.group_types):
                project.tell(_RESYNC, {"reason": "it is not known what groups were before"})
                return
            for group, before in groups.items():
                yield
                self._tell(project_id, project, group, before)
        except FlagstreamError:
            project.tell(_RESYNC, {"reason": "groups cannot be read at the moment"})

    def _tell(
        self, project_id: int, project: "_Project", group: tuple[str, str], before: bytes | None
    ) -> None:
        flags = self._catalog.project(project_id).flags
        if group[0] in flags.group_types:
            old = {} if before is None else GroupState.from_bytes(before).values()
            new = self._view.group_properties(project_id, *group) or {}
            if (change := group_change(flags, group, old, new)) is not None:
                project.tell("group", change)


class _Project:
    """
    What one project's clients are told.

    Attributes:
        flags: That have changed, and of which nobody was told.
        groups: Likewise by type and key, with what was stored before.
        untold: Types of groups that have changed from what nobody knows.
    """

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.flags: dict[str, Difference] = {}
        self.groups: dict[tuple[str, str], bytes | None] = {}
        self.untold: set[str] = set()
        # So that who was told by another process, or before a start, is known.
        self._name = f"{getrandbits(48):012x}"
        self._last = 0
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0

    def tell(self, name: str, data: Mapping[str, object]) -> None:
        """Tell everybody; of what is too large for a client, that it is to read everything."""
        self._last += 1
        encoded = event(orjson.dumps(data), name=name, event_id=self._id())
        if len(encoded) > MAX_KEPT_BYTES:
            reason = orjson.dumps({"reason": "what has changed is too large to be told"})
            encoded = event(reason, name=_RESYNC, event_id=self._id())
        self._keep(encoded)
        for connection in self.connections:
            connection.send(encoded)

    def _keep(self, encoded: bytes) -> None:
        self._kept.append(encoded)
        self._kept_bytes += len(encoded)
        while self._kept_bytes > MAX_KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popleft())

    def since(self, last_id: str) -> bytes:
        """Begin a stream behind an event."""
        missed = self._missed(last_id) if last_id else b""
        if missed is None:
            reason = orjson.dumps({"reason": "what was missed is not known any more"})
            missed = event(reason, name=_RESYNC, event_id=self._id())
        return start(self._id()) + missed

    def _missed(self, last_id: str) -> bytes | None:
        """Read the events behind one; None where they are not known."""
        name, _, number = last_id.rpartition(".")
        if name != self._name or not number.isdecimal():
            return None
        missed = self._last - int(number)
        kept = len(self._kept)
        return b"".join(list(self._kept)[kept - missed :]) if 0 <= missed <= kept else None

    def _id(self) -> str:
        return f"{self._name}.{self._last}"
