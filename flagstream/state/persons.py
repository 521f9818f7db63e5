"""The state behind one distinct id: person properties, and the person it was merged into."""

from collections.abc import Iterable, Mapping
from typing import Any

from . import registers
from .records import Record, State
from .registers import Register
from .uuids import join_recent


class PersonUpdate(Record, frozen=True):
    """
    What an event or a flag request says of one distinct id.

    Events say it with ``$set``, ``$set_once``, ``$unset``, ``$identify`` or an alias.

    Attributes:
        into: The distinct id whose person this one is merged into.
        merged: The distinct id that was merged into this one.
        is_firm: The merge makes one person even where another merge of the id came before.
        is_identified: This id was identified, so it is never merged into another.
        hash_keys: By flag key the id that the person stays bucketed by.
    """

    time_ms: int
    uuid: str | None = None
    set: dict[str, Any] = {}
    set_once: dict[str, Any] = {}
    unset: list[str] = []
    into: str | None = None
    merged: str | None = None
    is_firm: bool = False
    is_identified: bool = False
    hash_keys: dict[str, str] = {}


class PersonState(State, frozen=True):
    """
    A distinct id as of everything folded so far.

    Attributes:
        once: Values of ``$set_once``: the first write stays, any ``$set`` goes before it.
        into: ``[distinct id, version]`` of the merge; the first one stays.
        merged: Version of the merge by the distinct id that was merged into this one.
        linked: Version of the firm merge by the other id, whichever of the two was merged.
        hash_keys: By flag key the id that the person stays bucketed by; the first one stays.
    """

    created_at_ms: int
    properties: dict[str, Register] = {}
    once: dict[str, Register] = {}
    into: tuple[str, int] | None = None
    merged: dict[str, int] = {}
    linked: dict[str, int] = {}
    is_identified: bool = False
    recent: dict[str, int] = {}
    hash_keys: dict[str, Register] = {}

    def values(self) -> dict[str, Any]:
        """Read the properties that are set."""
        return registers.values(self.properties, self.once)


def fold_person(state: PersonState | None, update: PersonUpdate, version: int) -> PersonState:
    """
    Fold one update in.

    Returns:
        *state* itself where the update is already in it.
    """
    seen = PersonState(
        version=version,
        created_at_ms=update.time_ms,
        properties=registers.written(update.set, update.unset, version),
        once=registers.written(update.set_once, (), version),
        into=None if update.into is None else (update.into, version),
        merged={} if update.merged is None else {update.merged: version},
        linked=dict.fromkeys(_linked(update), version),
        is_identified=update.is_identified,
        recent={} if update.uuid is None else {update.uuid: version},
        hash_keys=registers.written(update.hash_keys, (), version),
    )
    return seen if state is None else join_persons(state, seen)


def join_persons(ours: PersonState, theirs: PersonState) -> PersonState:
    """Join two states of one distinct id; *ours* itself where *theirs* brings nothing."""
    joined = PersonState(
        version=max(ours.version, theirs.version),
        created_at_ms=min(ours.created_at_ms, theirs.created_at_ms),
        properties=dict(registers.join(ours.properties, theirs.properties)),
        once=dict(registers.join_first(ours.once, theirs.once)),
        into=_first(ours.into, theirs.into),
        merged=_join_lowest(ours.merged, theirs.merged),
        linked=_join_lowest(ours.linked, theirs.linked),
        is_identified=ours.is_identified or theirs.is_identified,
        recent=dict(join_recent(ours.recent, theirs.recent)),
        hash_keys=dict(registers.join_first(ours.hash_keys, theirs.hash_keys)),
    )
    return ours if joined == ours else joined


def _linked(update: PersonUpdate) -> Iterable[str]:
    if update.is_firm:
        yield from (other for other in (update.into, update.merged) if other is not None)


def _first(ours: tuple[str, int] | None, theirs: tuple[str, int] | None) -> tuple[str, int] | None:
    if ours is None or theirs is None:
        return ours or theirs
    return min(ours, theirs, key=lambda merge: (merge[1], merge[0]))


def _join_lowest(ours: Mapping[str, int], theirs: Mapping[str, int]) -> dict[str, int]:
    joined = dict(ours)
    for name, version in theirs.items():
        joined[name] = min(version, joined.get(name, version))
    return joined
