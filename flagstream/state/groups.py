"""The state of one group: its properties, each with the version that wrote it."""

from typing import Any

from . import registers
from .records import Record, State
from .registers import Register
from .uuids import join_recent


class GroupUpdate(Record, frozen=True):
    """
    What a ``$groupidentify``, an API write or the first sight of a group says.

    Attributes:
        uuid: Of the event; None for a first sight, which nobody retries.
        time_ms: When the group was seen, Unix milliseconds.
    """

    time_ms: int
    uuid: str | None = None
    set: dict[str, Any] = {}
    set_once: dict[str, Any] = {}
    unset: list[str] = []


class GroupState(State, frozen=True):
    """
    A group as of everything folded so far.

    Attributes:
        created_at_ms: Earliest time that an update carried.
        once: Values that were set once: the first write stays, any other goes before it.
        recent: Version by event uuid of the latest updates.
    """

    created_at_ms: int
    properties: dict[str, Register] = {}
    once: dict[str, Register] = {}
    recent: dict[str, int] = {}

    def values(self) -> dict[str, Any]:
        """Read the properties that are set."""
        return registers.values(self.properties, self.once)


def fold_group(state: GroupState | None, update: GroupUpdate, version: int) -> GroupState:
    """
    Fold one update in.

    Returns:
        *state* itself where the update is already in it.
    """
    seen = GroupState(
        version=version,
        created_at_ms=update.time_ms,
        properties=registers.written(update.set, update.unset, version),
        once=registers.written(update.set_once, (), version),
        recent={} if update.uuid is None else {update.uuid: version},
    )
    return seen if state is None else join_groups(state, seen)


def join_groups(ours: GroupState, theirs: GroupState) -> GroupState:
    """Join two states of one group; *ours* itself where *theirs* brings nothing."""
    joined = GroupState(
        version=max(ours.version, theirs.version),
        created_at_ms=min(ours.created_at_ms, theirs.created_at_ms),
        properties=dict(registers.join(ours.properties, theirs.properties)),
        once=dict(registers.join_first(ours.once, theirs.once)),
        recent=dict(join_recent(ours.recent, theirs.recent)),
    )
    return ours if joined == ours else joined
