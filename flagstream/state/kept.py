"""What became of a group, kept for a while: every update, and now and then the state with it."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from .groups import GroupState, GroupUpdate, fold_group, join_groups
from .records import Record
from .registers import Registers

STATE_EVERY = 32
"""Updates between two states: what has to be folded for a look-up, at most."""

_ABSENT: Any = object()


class KeptUpdate(Record, frozen=True, array_like=True):
    """
    An update as it is kept.

    Attributes:
        since: How many were kept since the last one with a state.
        state: The fold of all that were kept up to this one; None for most.
    """

    update: GroupUpdate
    since: int = 0
    state: GroupState | None = None


class Beginning(Record, frozen=True):
    """
    From where on the updates of a partition are kept.

    Attributes:
        version: Of the first that is, or will be.
        time_ms: When the log had it; nothing older than that can be told.
        is_whole: There was nothing before.
    """

    version: int
    time_ms: int
    is_whole: bool


class GroupThen(NamedTuple):
    """
    A group as it was.

    Attributes:
        state: None where it was not known.
        unknown: Properties that may have been set by updates that are not kept any more.
    """

    state: GroupState | None
    unknown: frozenset[str] = frozenset()


class PropertyChange(NamedTuple):
    """
    What an update did to a property.

    Attributes:
        before: None also where it was not set.
        after: Likewise.
        is_before_known: False where what was there comes from before all that is kept.
    """

    action: Literal["set", "set_once", "unset"]
    name: str
    before: Any
    after: Any
    is_before_known: bool


Entry = tuple[int, KeptUpdate]
"""With its version."""


def folded(entries: Iterable[Entry], state: GroupState | None = None) -> GroupState | None:
    """Fold what was kept, oldest first; from the last state on that is among it."""
    for version, kept in entries:
        state = kept.state or fold_group(state, kept.update, version)
    return state


def as_kept(state: GroupState) -> GroupState:
    """Leave out of a state what only capture looks at."""
    return replace(state, recent={})


def group_then(
    kept: GroupState | None, present: GroupState | None, beginning: Beginning
) -> GroupThen:
    """
    Tell how a group was, from the fold of what was kept up to then and from what it is now.

    A property that was last written before the beginning has been the same ever since. One that
    was written later may have had another value before, unless the group is younger.
    """
    if beginning.is_whole or present is None:
        return GroupThen(kept)
    if present.created_at_ms >= beginning.time_ms:
        return GroupThen(kept)
    before = GroupState(
        version=beginning.version,
        created_at_ms=present.created_at_ms,
        properties=_older(present.properties, beginning.version),
        once=_older(present.once, beginning.version),
    )
    state = before if kept is None else join_groups(before, kept)
    unknown = frozenset(
        name
        for name, register in present.properties.items()
        if register.version >= beginning.version and name not in state.properties
    )
    return GroupThen(state, unknown)


def _older(registers: Registers, version: int) -> dict[str, Any]:
    return {name: each for name, each in registers.items() if each.version < version}


def property_changes(
    update: GroupUpdate, before: GroupThen, after: GroupThen
) -> Sequence[PropertyChange]:
    """List what an update really changed, in the order in which it names it."""
    old = {} if before.state is None else before.state.values()
    new = {} if after.state is None else after.state.values()
    actions: dict[str, Literal["set", "set_once", "unset"]] = {}
    actions |= dict.fromkeys(update.set_once, "set_once")
    actions |= dict.fromkeys(update.set, "set")
    actions |= dict.fromkeys(update.unset, "unset")
    return [
        PropertyChange(action, name, old.get(name), new.get(name), name not in before.unknown)
        for name, action in actions.items()
        if name in before.unknown or not _are_alike(old.get(name, _ABSENT), new.get(name, _ABSENT))
    ]


def _are_alike(one: Any, other: Any) -> bool:
    # For Python 1, 1.0 and true are equal; their texts are not.
    return type(one) is type(other) and (one is other or repr(one) == repr(other))
