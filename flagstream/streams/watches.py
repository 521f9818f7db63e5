"""What pages are told: that the flags of their context answer otherwise, and nothing of them."""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable
from typing import NamedTuple

import orjson

from flagstream.flags import Steps
from flagstream.ports import Changes, Place

from .connections import Connection
from .events import event, start

logger = logging.getLogger(__name__)


class Sight(NamedTuple):
    """
    How the flags of a context answer, as far as it matters to who watches them.

    Attributes:
        etag: Of the answer.
        said: Equal as long as applications are told the same.
        groups: That it follows from.
        ids: Likewise of persons, each with its project.
    """

    etag: str
    said: Hashable
    groups: Collection[Place]
    ids: Collection[tuple[int, str]]


class Watch:
    """One client, and what it watches."""

    def __init__(self, connection: Connection, look: Callable[[], Sight]) -> None:
        """
        Look for the first time.

        Args:
            look: Evaluates the flags.
        """
        self.connection = connection
        self.look = look
        self.sight = look()

    @property
    def project_id(self) -> int:
        """Whose flags are watched."""
        return self.connection.project_id

    def refetch(self) -> bytes:
        """Encode the advice to ask again."""
        data = {"type": "refetchEvaluation", "etag": self.sight.etag}
        return event(orjson.dumps(data), event_id=self.sight.etag)


class Watches:
    """Looks again at what may have changed, and tells those whose flags have."""

    def __init__(self) -> None:
        self._by_project: defaultdict[Hashable, set[Watch]] = defaultdict(set)
        self._by_place: defaultdict[Hashable, set[Watch]] = defaultdict(set)
        self._pending: dict[Watch, None] = {}

    def join(self, watch: Watch, last_id: str) -> None:
        """
        Watch from now on.

        Args:
            last_id: The tag of the answer that the client has, which is told at once if there is
                another; "" where it has none.
        """
        watch.connection.send(start(watch.sight.etag))
        if last_id and last_id != watch.sight.etag:
            watch.connection.send(watch.refetch())
        self._by_project[watch.project_id].add(watch)
        self._place(watch, watch.sight)

    def leave(self, watch: Watch) -> None:
        """Watch no more."""
        self._remove(self._by_project, watch.project_id, watch)
        for place in _places(watch.sight):
            self._remove(self._by_place, place, watch)
        self._pending.pop(watch, None)

    def note(self, changes: Changes) -> None:
        """Note what has changed."""
        for project_id in changes.projects:
            self._pending.update(dict.fromkeys(self._by_project.get(project_id, ())))
        for places in (changes.groups, changes.untold, changes.persons):
            for place in places:
                self._pending.update(dict.fromkeys(self._by_place.get(place, ())))

    def flush(self) -> Steps[None]:
        """Look again at what was noted."""
        pending, self._pending = self._pending, {}
        for watch in pending:
            yield
            if watch in self._by_project.get(watch.project_id, ()):
                try:
                    self._look(watch)
                except Exception:
                    # It comes back, and is told then if it has missed something; the others are
                    # told now.
                    logger.exception("a page was not told")
                    watch.connection.end()

    def _look(self, watch: Watch) -> None:
        before, watch.sight = watch.sight, watch.look()
        if (before.groups, before.ids) != (watch.sight.groups, watch.sight.ids):
            for place in _places(before):
                self._remove(self._by_place, place, watch)
            self._place(watch, watch.sight)
        if before.said != watch.sight.said:
            watch.connection.send(watch.refetch())

    def _place(self, watch: Watch, sight: Sight) -> None:
        for place in _places(sight):
            self._by_place[place].add(watch)

    @staticmethod
    def _remove(index: defaultdict[Hashable, set[Watch]], key: Hashable, watch: Watch) -> None:
        index[key].discard(watch)
        if not index[key]:
            del index[key]


def _places(sight: Sight) -> list[Hashable]:
    return [*sight.groups, *sight.ids]
