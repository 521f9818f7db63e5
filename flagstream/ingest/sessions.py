"""What events become for the active groups of sessions."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from flagstream.state.sessions import MAX_IDS, SessionUpdate
from flagstream.topics import Topic

from .batch import Batch
from .in_flight import Mark

_MAX_KEPT = 20_000


class _Owner(NamedTuple):
    """Whose active groups they are."""

    project_id: int
    distinct_id: str


class SessionMaps:
    """
    Plans the session updates of a request.

    An update that changes no answer is not sent, but kept for a while: should an event arrive
    late that is older, but younger than what the view knows, the kept one goes out with it, or the
    late one would win.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[_Owner, dict[str, SessionUpdate]] = OrderedDict()

    def plan(self, batch: Batch, updates: Mapping[tuple[str, str], SessionUpdate]) -> None:
        """
        Plan the latest map of each session.

        Args:
            updates: By session and distinct id.
        """
        for (session_id, distinct_id), update in updates.items():
            owner = _Owner(batch.project_id, distinct_id)
            # One mark for all sessions of an id: what it remembers comes from the latest.
            mark = Mark(Topic.SESSION_UPDATES, batch.key(distinct_id))
            if batch.flight(mark) is None and update.groups == batch.view.session_groups(
                batch.project_id, session_id, distinct_id
            ):
                self._keep(owner, session_id, update)
                continue
            for late_for, kept in self._overtaken(owner, session_id, update):
                batch.add(mark, batch.key(late_for), kept)
            batch.add(mark, batch.key(session_id), update)

    def _keep(self, owner: _Owner, session_id: str, update: SessionUpdate) -> None:
        kept = self._kept.pop(owner, {})
        if session_id not in kept or kept[session_id].time_ms <= update.time_ms:
            kept.pop(session_id, None)
            kept[session_id] = update
        if len(kept) > MAX_IDS:
            del kept[next(iter(kept))]
        self._kept[owner] = kept
        if len(self._kept) > _MAX_KEPT:
            self._kept.popitem(last=False)

    def _overtaken(
        self, owner: _Owner, session_id: str, update: SessionUpdate
    ) -> Iterable[tuple[str, SessionUpdate]]:
        """Take out the kept updates that *update* comes too late for, and the one it replaces."""
        kept = self._kept.get(owner)
        if not kept:
            return ()
        overtaken = {name: each for name, each in kept.items() if each.time_ms > update.time_ms}
        for name in (*overtaken, session_id):
            kept.pop(name, None)
        if not kept:
            del self._kept[owner]
        return overtaken.items()
