"""Who is told that the views have changed, and of what."""

from collections.abc import Callable, Collection, Iterable, Mapping

from flagstream.ports import Changes, Place
from flagstream.topics import Table, key_parts

from .catalog import StoredCatalog
from .layout import ACTIVE, table_key

_GROUP, _PERSON = table_key(Table.GROUPS, b""), table_key(Table.PERSONS, b"")
Listener = Callable[[Changes], None]


class Announcer:
    """
    Tells listeners; as long as there are none, changes cost nothing.

    Attributes:
        watched: Called with whether there are any, whenever that changes.
    """

    def __init__(self, catalog: StoredCatalog) -> None:
        self.watched: Callable[[bool], None] = lambda _: None
        self._catalog = catalog
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell *listener* of all changes from now on, until what is returned is called."""
        self._listeners.append(listener)
        self._watch()

        def stop() -> None:
            self._listeners.remove(listener)
            self._watch()

        return stop

    def _watch(self) -> None:
        is_watched = bool(self._listeners)
        if is_watched != self._catalog.is_watched:
            self._catalog.is_watched = is_watched
            self.watched(is_watched)

    def announce(
        self,
        stale: Iterable[bytes],
        projects: Collection[int],
        replaced: Mapping[bytes, bytes | None],
    ) -> None:
        """
        Tell what can be read now.

        Args:
            stale: Keys of the views that have changed.
            projects: Whose definitions or group types have.
            replaced: What was stored of the groups that have, by key, as far as that is known.
        """
        if not self._listeners:
            return
        changes = Changes(
            groups={_place(key): before for key, before in replaced.items()},
            untold={_place(key) for key in stale if key[:1] == _GROUP and key not in replaced},
            persons={_id(key) for key in stale if key[:1] in (_PERSON, ACTIVE)},
            flags=self._catalog.differences(),
            projects=projects,
        )
        for listener in list(self._listeners):
            listener(changes)


def _place(key: bytes) -> Place:
    project_id, group_type, group_key = key_parts(key[len(_GROUP) :])
    return int(project_id), str(group_type), str(group_key)


def _id(key: bytes) -> tuple[int, str]:
    project_id, distinct_id = key_parts(key[1:])
    return int(project_id), str(distinct_id)
