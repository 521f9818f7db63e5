"""The fold and the join of every table over encoded records: what agents and followers run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from flagstream.errors import RecordError, quote
from flagstream.limits import MAX_STATE_BYTES
from flagstream.topics import Table, key_parts

from .definitions import DefinitionState, DefinitionUpdate, fold_definition, join_definitions
from .group_types import GroupTypeClaim, GroupTypesState, fold_group_type, join_group_types
from .groups import GroupState, GroupUpdate, fold_group, join_groups
from .history import ChangeState, DefinitionChange, fold_change, join_changes
from .persons import PersonState, PersonUpdate, fold_person, join_persons
from .records import Record, State
from .sessions import SessionState, SessionUpdate, fold_session, join_sessions

S = TypeVar("S", bound=State)
U = TypeVar("U", bound=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reducer(Generic[S, U]):
    """
    How the records of one table come about.

    Attributes:
        key: Types of the parts of a key.
        state: Type of a table's value.
        update: Type of a source record's value.
    """

    key: tuple[type[int | str], ...]
    state: type[S]
    update: type[U]
    folded: Callable[[S | None, U, int], S | None]
    joined: Callable[[S, S], S]

    def fold(self, state: bytes | None, update: bytes, version: int) -> bytes | None:
        """
        Fold an encoded update into an encoded state.

        Returns:
            *state* itself where nothing changes; None where the state is to be forgotten.

        Raises:
            RecordError: The update cannot be decoded, or the state would become larger than a
                record may be. Capture refuses that long before, but does not see at once what
                comes in at several nodes.
        """
        before = None if state is None else self.state.from_bytes(state)
        after = self.folded(before, self.update.from_bytes(update), version)
        if after is before:
            return state
        return None if after is None else _bounded(after.to_bytes(), state)

    def check_key(self, key: bytes | None) -> None:
        """
        Check that a record's key is one of this table.

        Raises:
            RecordError: Naming what was expected.
        """
        try:
            got = tuple(map(type, key_parts(key or b"")))
        except (TypeError, ValueError):
            got = ()
        if got != self.key:
            expected = [part.__name__ for part in self.key]
            raise RecordError(f"key: expected {expected}, got {quote(key)}")

    def version(self, state: bytes) -> int:
        """Read the highest version folded into an encoded state."""
        return self.state.from_bytes(state).version

    def join(self, ours: bytes | None, theirs: bytes) -> bytes:
        """Join two encoded states: everybody merges, nobody replaces."""
        if ours is None or ours == theirs:
            return theirs
        before, other = self.state.from_bytes(ours), self.state.from_bytes(theirs)
        after = self.joined(before, other)
        if after is before:
            return ours
        return theirs if after is other else after.to_bytes()


def _bounded(after: bytes, before: bytes | None) -> bytes:
    if len(after) > max(MAX_STATE_BYTES, len(before or b"")):
        raise RecordError(f"state: expected at most {MAX_STATE_BYTES} bytes, got {len(after)}")
    return after


REDUCERS: dict[Table, Reducer[Any, Any]] = {
    Table.GROUP_TYPES: Reducer(
        key=(int,),
        state=GroupTypesState,
        update=GroupTypeClaim,
        folded=fold_group_type,
        joined=join_group_types,
    ),
    Table.GROUPS: Reducer(
        key=(int, str, str),
        state=GroupState,
        update=GroupUpdate,
        folded=fold_group,
        joined=join_groups,
    ),
    Table.SESSIONS: Reducer(
        key=(int, str),
        state=SessionState,
        update=SessionUpdate,
        folded=fold_session,
        joined=join_sessions,
    ),
    Table.PERSONS: Reducer(
        key=(int, str),
        state=PersonState,
        update=PersonUpdate,
        folded=fold_person,
        joined=join_persons,
    ),
    Table.DEFINITIONS: Reducer(
        key=(int, str, str),
        state=DefinitionState,
        update=DefinitionUpdate,
        folded=fold_definition,
        joined=join_definitions,
    ),
    Table.HISTORY: Reducer(
        key=(int, str, str, str),
        state=ChangeState,
        update=DefinitionChange,
        folded=fold_change,
        joined=join_changes,
    ),
}
