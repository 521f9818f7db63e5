"""Hand-written counterparts of the views: state in dictionaries, definitions folded at once."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from flagstream.errors import LogUnavailableError, UnavailableError
from flagstream.management import Editor
from flagstream.ports import (
    Append,
    Change,
    Changes,
    DeadLetter,
    GroupPage,
    IngestionWarning,
    KeptChange,
    KeptPage,
    Person,
    PersonPage,
    Position,
    ProjectSnapshot,
    PropertyWrite,
    Remembered,
    Search,
    WarningSummary,
)
from flagstream.state.definitions import DefinitionUpdate, Kind
from flagstream.state.group_types import (
    GroupType,
    GroupTypeClaim,
    GroupTypesState,
    fold_group_type,
)
from flagstream.state.groups import GroupState, GroupUpdate, fold_group
from flagstream.state.history import DefinitionChange, fold_change
from flagstream.state.kept import GroupThen
from flagstream.topics import Topic, key_parts
from flagstream.views.catalog import snapshot
from tests.fakes.access import OTHER_PROJECT, PROJECT, FakeProjects

__all__ = ["OTHER_PROJECT", "PROJECT"]

EDITOR = Editor(PROJECT.id, "…_one")


class FakeView:
    """State as a test wrote it, unless it cannot be read."""

    def __init__(self) -> None:
        self.is_down = False
        self.states: dict[tuple[int, str, str], GroupState] = {}
        self.properties: dict[tuple[int, str, str], Mapping[str, Any]] = {}
        self.active: dict[tuple[int, str], Mapping[str, str]] = {}
        self.known: dict[tuple[int, str], Person] = {}
        self.changes: defaultdict[tuple[int, str, str], list[Change]] = defaultdict(list)

    def set_group(self, group_type: str, group_key: str, **properties: Any) -> None:
        self.put_group((PROJECT.id, group_type, group_key), properties)

    def put_group(self, place: tuple[int, str, str], properties: Mapping[str, Any]) -> None:
        """Set properties of a group of any project."""
        self._fold(place, GroupUpdate(time_ms=1_000, set=dict(properties)))

    def fold(self, key: bytes, update: bytes) -> None:
        """Fold a record of a group, as an agent does."""
        project_id, group_type, group_key = key_parts(key)
        place = (int(project_id), str(group_type), str(group_key))
        self._fold(place, GroupUpdate.from_bytes(update))

    def fold_change(self, key: bytes, update: bytes) -> None:
        """Fold a record of a definition's history, likewise."""
        project_id, kind, name, change_id = key_parts(key)
        changes = self.changes[int(project_id), str(kind), str(name)]
        state = fold_change(None, DefinitionChange.from_bytes(update), 0)
        # History keeps what it heard first.
        if change_id not in {change.id for change in changes}:
            changes.append(Change(str(change_id), state))

    def persons(
        self, project_id: int, *, search: Search, after: str | None, limit: int
    ) -> PersonPage:
        mine = {p.distinct_id: p for (project, _), p in self.known.items() if project == project_id}
        found = [
            person
            for key, person in sorted(mine.items())
            if (after is None or key > after)
            and any(
                search.part.lower() in str(text).lower()
                for text in (*person.distinct_ids, *map(person.properties.get, search.properties))
            )
        ]
        page = found[:limit]
        return PersonPage(page, page[-1].distinct_id if len(found) > limit else None)

    def history(self, project_id: int, kind: Kind, name: str) -> Sequence[Change]:
        return self.changes[project_id, kind, name]

    def _fold(self, place: tuple[int, str, str], update: GroupUpdate) -> None:
        known = self.states.get(place)
        version = 1 if known is None else known.version + 1
        self.states[place] = fold_group(known, update, version)
        self.properties[place] = self.states[place].values()

    def set_person(
        self,
        distinct_id: str,
        *,
        hash_keys: Mapping[str, str] | None = None,
        distinct_ids: Sequence[str] = (),
        **properties: Any,
    ) -> None:
        """Write a person that is read by each of its ids, of which *distinct_id* is the root."""
        person = Person(
            distinct_id=distinct_id,
            properties=properties,
            is_identified=True,
            recent={},
            hash_keys=hash_keys or {},
            distinct_ids=tuple(dict.fromkeys([distinct_id, *distinct_ids])),
            created_at_ms=1_000,
        )
        self.known.update(((PROJECT.id, each), person) for each in person.distinct_ids)

    def group(self, project_id: int, group_type: str, group_key: str) -> GroupState | None:
        return self.states.get((project_id, group_type, group_key))

    def group_properties(
        self, project_id: int, group_type: str, group_key: str
    ) -> Mapping[str, Any] | None:
        self._check()
        return self.properties.get((project_id, group_type, group_key))

    def _check(self) -> None:
        if self.is_down:
            raise UnavailableError("closed", retry_after_s=1)

    def groups(
        self, project_id: int, group_type: str, *, search: Search, after: str | None, limit: int
    ) -> GroupPage:
        found = [
            (key, group)
            for (project, of_type, key), group in sorted(self.states.items(), key=lambda e: e[0])
            if (project, of_type) == (project_id, group_type)
            and (after is None or key > after)
            and any(
                search.part.lower() in str(text).lower()
                for text in (key, *map(group.values().get, search.properties))
            )
        ]
        page = found[:limit]
        return GroupPage(page, page[-1][0] if len(found) > limit else None)

    def active_groups(
        self, project_id: int, distinct_id: str, session_id: str | None, now_ms: int
    ) -> Mapping[str, str]:
        self._check()
        return self.active.get((project_id, distinct_id), {})

    def remembered(
        self, project_id: int, distinct_id: str, session_id: str | None, now_ms: int
    ) -> Remembered | None:
        groups = self.active_groups(project_id, distinct_id, session_id, now_ms)
        return Remembered(groups, 1_000, distinct_id, session_id) if groups else None

    def person_write(self, project_id: int, distinct_id: str, name: str) -> PropertyWrite | None:
        person = self.person(project_id, distinct_id)
        if person is None or name not in person.properties:
            return None
        return PropertyWrite(person.distinct_id, 0)

    def session_groups(
        self, project_id: int, session_id: str, distinct_id: str
    ) -> Mapping[str, str] | None:
        return None

    def person(self, project_id: int, distinct_id: str) -> Person | None:
        self._check()
        return self.known.get((project_id, distinct_id))


class FakeHistory:
    """
    How groups were, as a test wrote it.

    Attributes:
        then: What is told of a group at any time.
        kept: What is listed of any group, oldest first.
    """

    def __init__(self) -> None:
        self.oldest = 0
        self.is_ready = True
        self.then: dict[tuple[int, str, str], GroupThen] = {}
        self.kept: list[KeptChange] = []

    def oldest_ms(self) -> int:
        if not self.is_ready:
            raise UnavailableError("still being read", retry_after_s=2)
        return self.oldest

    def group_at(
        self, place: tuple[int, str, str], time_ms: int, present: GroupState | None
    ) -> GroupThen:
        return self.then.get(place, GroupThen(None))

    def set_group(self, group_type: str, group_key: str, *unknown: str, **properties: Any) -> None:
        state = fold_group(None, GroupUpdate(time_ms=1_000, set=properties), 7)
        self.then[PROJECT.id, group_type, group_key] = GroupThen(state, frozenset(unknown))

    def changes(
        self,
        place: tuple[int, str, str],
        present: GroupState | None,
        *,
        after: tuple[int, int] | None,
        limit: int,
    ) -> KeptPage:
        found = [
            each
            for each in self.kept[::-1]
            if after is None or (each.time_ms, each.version) < after
        ]
        last = found[:limit][-1] if len(found) > limit else None
        return KeptPage(found[:limit], None if last is None else (last.time_ms, last.version))


class FakeCatalog:
    """Definitions that compile when they are written; group types as given."""

    def __init__(self, *group_types: str) -> None:
        types = [
            GroupType(group_type=name, index=index, created_at_ms=1_000, version=index)
            for index, name in enumerate(group_types)
        ]
        self.group_types = GroupTypesState(version=1, types=types)
        self._bodies: dict[int, dict[tuple[str, str], Mapping[str, Any]]] = {}
        self._snapshots: dict[int, ProjectSnapshot] = {}

    def project(self, project_id: int) -> ProjectSnapshot:
        if project_id not in self._snapshots:
            bodies = self._bodies.get(project_id, {})
            self._snapshots[project_id] = snapshot(self.group_types, bodies)
        return self._snapshots[project_id]

    def clear(self) -> None:
        """Forget everything: a server that nothing was sent to."""
        self.group_types = GroupTypesState(version=0)
        self._bodies.clear()
        self._snapshots.clear()

    def add_type(self, claim: GroupTypeClaim) -> None:
        self.group_types = fold_group_type(self.group_types, claim, self.group_types.version + 1)
        self._snapshots.clear()

    def project_ids(self) -> Collection[int]:
        return tuple(self._bodies)

    def set_flag(self, row: Mapping[str, Any], project_id: int = PROJECT.id) -> None:
        self.write(project_id, "flag", row["key"], row)

    def write(self, project_id: int, kind: str, name: str, body: Mapping[str, Any]) -> None:
        self._bodies.setdefault(project_id, {})[kind, name] = body
        self._snapshots.pop(project_id, None)


class FakeDefinitionsLog:
    """
    A sink and its progress: definitions are in the catalog once they are appended, and groups in
    the view.
    """

    def __init__(
        self,
        catalog: FakeCatalog,
        view: FakeView | None = None,
        access: FakeProjects | None = None,
    ) -> None:
        self._catalog = catalog
        self._view = view or FakeView()
        self._access = access or FakeProjects()
        self.appended: list[Append] = []
        self.is_down = False
        self.is_lagging = False

    @property
    def definitions(self) -> Sequence[Append]:
        """What was appended of definitions themselves."""
        return [each for each in self.appended if each.topic is Topic.DEFINITIONS]

    async def append(self, appends: Sequence[Append]) -> Sequence[Position]:
        if self.is_down:
            raise LogUnavailableError("disk full")
        for each in appends:
            self.appended.append(each)
            if each.topic is Topic.DEFINITIONS:
                project_id, kind, name = key_parts(each.key)
                body = DefinitionUpdate.from_bytes(each.value).body
                self._catalog.write(int(project_id), str(kind), str(name), body)
                self._access.take(int(project_id), str(kind), str(name), body)
            elif each.topic is Topic.GROUP_UPDATES and not self.is_lagging:
                self._view.fold(each.key, each.value)
            elif each.topic is Topic.GROUP_TYPE_CLAIMS and not self.is_lagging:
                self._catalog.add_type(GroupTypeClaim.from_bytes(each.value))
            elif each.topic is Topic.DEFINITION_CHANGES:
                self._view.fold_change(each.key, each.value)
        return [Position(each.topic, 0, len(self.appended)) for each in appends]

    def is_visible(self, position: Position) -> bool:
        return not self.is_lagging

    def is_settled(self, topic: str, key: bytes) -> bool:
        return True

    async def wait_visible(self, positions: Sequence[Position], timeout_s: float) -> bool:
        return not self.is_lagging


class FakeChanges:
    """Tells whoever listens what a test tells."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[Changes], None]] = []

    def listen(self, listener: Callable[[Changes], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def tell(self, **changes: Any) -> None:
        for listener in self.listeners:
            listener(Changes(**changes))


class FakeAdmission:
    """Lets everything in, unless a test has put an error before it."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def admit(self) -> None:
        if self.error is not None:
            raise self.error


class FakeDeadLetters:
    """Dead letters as a test wrote them."""

    def __init__(self, *letters: DeadLetter) -> None:
        self.letters = list(letters)
        self.replayed: list[str] = []

    async def list(self, project_id: int, *, after: str | None, limit: int) -> Sequence[DeadLetter]:
        mine = self.letters if project_id == PROJECT.id else []
        return [each for each in mine if after is None or each.id > after][:limit]

    async def replay(self, project_id: int, ids: Sequence[str]) -> int:
        known = [each.id for each in self.letters if each.id in ids and project_id == PROJECT.id]
        self.replayed += known
        return len(known)


class FakeWarnings:
    """
    Warnings of the project of the tests, in the order in which they came.

    Attributes:
        counts: How often each came at once.
        summed: As a test wrote them.
    """

    def __init__(self) -> None:
        self.added: list[IngestionWarning] = []
        self.counts: list[int] = []
        self.summed: list[WarningSummary] = []

    def add(self, project_id: int, warning: IngestionWarning, count: int = 1) -> None:
        if project_id == PROJECT.id:
            self.added.append(warning)
            self.counts.append(count)

    async def summaries(self, project_id: int) -> Sequence[WarningSummary]:
        return self.summed if project_id == PROJECT.id else []

    async def close(self) -> None:
        pass


class FakeSeen(set[tuple[int, str]]):
    """The events that the log has had, by project and uuid."""

    def has(self, project_id: int, uuid: str) -> bool:
        return (project_id, uuid) in self
