"""Projects and secret keys in memory, as the definitions of the views have them."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from flagstream.ports import Project, SecretKey
from flagstream.state.access import (
    ACCESS_KINDS,
    FIRST_PROJECT_ID,
    Key,
    KeyUse,
    Revocation,
    Tenant,
)
from flagstream.state.definitions import DefinitionState, Kind
from flagstream.topics import Table, key_parts

from .layout import range_of, table_key
from .store import ViewReader

logger = logging.getLogger(__name__)

_PREFIX = table_key(Table.DEFINITIONS, b"")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class KnownAccess:
    """Implements :class:`flagstream.ports.Projects` and ``SecretKeys`` over definitions."""

    def __init__(self, first_token: str, clock_ms: Callable[[], int] = _now_ms) -> None:
        """
        Prepare.

        Args:
            first_token: Of the first project, which no definition has.
        """
        self._first = Project(id=FIRST_PROJECT_ID, token=first_token)
        self._clock_ms = clock_ms
        self._takers: Mapping[str, Callable[[int, str, dict[str, Any]], None]] = {
            Kind.TENANT: self._take_tenant,
            Kind.KEY: self._take_key,
            Kind.KEY_REVOCATION: self._take_revocation,
            Kind.KEY_USE: self._take_use,
        }
        self.forget()

    def by_token(self, token: str) -> Project | None:
        """Find the project of a public token."""
        project = self._by_token.get(token)
        return project if project is not None else self._by_old_token(token)

    def _by_old_token(self, token: str) -> Project | None:
        project, ends_at_ms = self._by_old.get(token, (None, 0))
        return project if ends_at_ms > self._clock_ms() else None

    def by_id(self, project_id: int) -> Project | None:
        """Find a project, archived or not."""
        return self._projects.get(project_id)

    def all(self) -> Sequence[Project]:
        """List them by their ids, archived ones included."""
        return [self._projects[project_id] for project_id in sorted(self._projects)]

    def key(self, key_id: str) -> SecretKey | None:
        """Find a key, ended or not."""
        return self._keys.get(key_id)

    def keys(self, project_id: int) -> Sequence[SecretKey]:
        """List those of a project, the newest first."""
        mine = [key for key in self._keys.values() if key.project_id == project_id]
        return sorted(mine, key=lambda key: (key.created_at_ms, key.id), reverse=True)

    def forget(self) -> None:
        """Forget all but the first project."""
        self._projects: dict[int, Project] = {}
        self._by_token: dict[str, Project] = {}
        self._by_old: dict[str, tuple[Project, int]] = {}
        self._keys: dict[str, SecretKey] = {}
        self._written: dict[str, tuple[int, Key]] = {}
        self._revocations: dict[str, Revocation] = {}
        self._uses: dict[str, KeyUse] = {}
        self._replaced: dict[str, int] = {}
        self._put(self._first)

    def take(self, project_id: int, kind: str, name: str, body: dict[str, Any]) -> None:
        """Take in a definition; of other kinds than these nothing becomes."""
        taker = self._takers.get(kind)
        # A name begins with its project, so that nothing in one is taken for another's.
        if taker is None or name.partition("-")[0] != str(project_id):
            return
        try:
            taker(project_id, name, body)
        except msgspec.ValidationError as error:
            # Of another version, or a producer's own; the others go on.
            facts = {"project_id": project_id, "kind": kind, "detail": str(error)}
            logger.warning("a project or key cannot be read", extra=facts)

    def _take_tenant(self, project_id: int, _: str, body: dict[str, Any]) -> None:
        tenant = Tenant.from_body(body)
        if project_id != FIRST_PROJECT_ID:
            self._put(
                Project(
                    id=project_id,
                    token=tenant.token,
                    old_tokens=tuple(tenant.old_tokens),
                    is_archived=tenant.is_archived,
                    created_at_ms=tenant.created_at_ms,
                    created_by=tenant.created_by,
                )
            )

    def _put(self, project: Project) -> None:
        before = self._projects.get(project.id)
        if before is not None:
            for token in (before.token, *(each.token for each in before.old_tokens)):
                self._drop_token(token, project.id)
        self._projects[project.id] = project
        # The first one has none where nothing is asked by tokens.
        if project.token and not project.is_archived and self.by_token(project.token) is None:
            self._by_token[project.token] = project
            self._by_old |= {each.token: (project, each.ends_at_ms) for each in project.old_tokens}

    def _drop_token(self, token: str, project_id: int) -> None:
        held = self._by_token.get(token)
        if held is not None and held.id == project_id:
            del self._by_token[token]
        self._by_old.pop(token, None)

    def _take_key(self, project_id: int, key_id: str, body: dict[str, Any]) -> None:
        key = Key.from_body(body)
        self._written[key_id] = (project_id, key)
        if key.replaces is not None:
            # Of several successors the one that ends it first.
            before = self._replaced.get(key.replaces.id, key.replaces.ends_at_ms)
            self._replaced[key.replaces.id] = min(before, key.replaces.ends_at_ms)
            self._join(key.replaces.id)
        self._join(key_id)

    def _take_revocation(self, _: int, key_id: str, body: dict[str, Any]) -> None:
        self._revocations[key_id] = Revocation.from_body(body)
        self._join(key_id)

    def _take_use(self, _: int, key_id: str, body: dict[str, Any]) -> None:
        self._uses[key_id] = KeyUse.from_body(body)
        self._join(key_id)

    def _join(self, key_id: str) -> None:
        """Put together what is known of a key, in whatever order it came."""
        if key_id not in self._written:
            return
        project_id, key = self._written[key_id]
        self._keys[key_id] = SecretKey.of(
            project_id,
            key_id,
            key,
            replaced_at_ms=self._replaced.get(key_id),
            revocation=self._revocations.get(key_id),
            use=self._uses.get(key_id),
        )


class StoredAccess(KnownAccess):
    """Those of the views; nothing is read twice."""

    def __init__(self, store: ViewReader, first_token: str) -> None:
        """Prepare; :meth:`load` reads what there is."""
        self._store = store
        super().__init__(first_token)

    def load(self) -> None:
        """Read everything anew."""
        self.forget()
        for key, raw in self._store.items(*range_of(Table.DEFINITIONS)):
            self._read(key, raw)

    def changed(self, stale: Iterable[bytes]) -> None:
        """Read again what is under these keys of the views; others may be of something else."""
        for key in stale:
            if key.startswith(_PREFIX) and (raw := self._store.get(key)) is not None:
                self._read(key, raw)

    def _read(self, key: bytes, raw: bytes) -> None:
        project_id, kind, name = key_parts(key[len(_PREFIX) :])
        if kind in ACCESS_KINDS:
            body = DefinitionState.from_bytes(raw).body
            self.take(int(project_id), str(kind), str(name), body)
