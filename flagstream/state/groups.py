"""The state of one group: its properties, each with the version that wrote it."""

import re
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from . import registers
from .records import Record, State
from .registers import Register
from .uuids import join_recent

# Of names with these in them msgspec makes no members.
_ESCAPED = re.compile(r'["\\\x00-\x1f]')


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


def group_reader(names: Collection[str]) -> Callable[[bytes], dict[str, Any]]:
    """
    Make what reads at least some properties out of encoded states, at a third of the cost of all.

    Whatever else stands in a state is passed over.
    """
    if any(_ESCAPED.search(name) for name in names):
        return lambda raw: GroupState.from_bytes(raw).values()
    fields = [f"p{number}" for number in range(len(names))]
    some = msgspec.defstruct(
        "Some",
        [(field, Register | None, None) for field in fields],
        rename=dict(zip(fields, names, strict=True)),
        gc=False,
        frozen=True,
    )
    nothing = some()
    part = msgspec.defstruct(
        "Part", [("properties", some, nothing), ("once", some, nothing)], gc=False
    )
    decode, ordered = msgspec.json.Decoder(part).decode, tuple(names)
    of = msgspec.structs.astuple

    def read(raw: bytes) -> dict[str, Any]:
        found: Any = decode(raw)
        written = of(found.properties)
        if found.once is nothing:
            return {
                name: last.value
                for name, last in zip(ordered, written, strict=True)
                if last is not None and not last.is_deleted
            }
        once = of(found.once)
        return {
            name: register.value
            for name, last, first in zip(ordered, written, once, strict=True)
            if (register := registers.counting(last, first)) is not None
        }

    return read


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
