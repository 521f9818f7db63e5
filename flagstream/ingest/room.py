"""How much a stored group or person still takes in."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from flagstream.warning_kinds import WarningKind
from flagstream.wire import EventLimits, Loss

Properties = Mapping[str, Any]
# What was removed stays as a mark of its version, so that an older write cannot bring it back.
NAMES_PER_PROPERTY = 2


class Stored(NamedTuple):
    """
    What is known of a group or person.

    Attributes:
        names: How many names it has, those of properties that were removed among them.
        kind: Of the warning where it takes no more.
        field: By which events say what is to be set.
    """

    properties: Properties
    names: int
    kind: WarningKind
    field: str


class Fitting(NamedTuple):
    """
    What is taken in.

    Attributes:
        loss: Why that is not all; None where it is.
    """

    set: dict[str, Any]
    set_once: dict[str, Any]
    loss: Loss | None


def fitting(
    stored: Stored, set_: dict[str, Any], set_once: dict[str, Any], limits: EventLimits
) -> Fitting:
    """
    Leave out what would make a group or person larger than it may be.

    What it has can be changed at any time, but not to larger values; of new properties the first
    are taken.
    """
    count = stored.names + len(set_) + len(set_once)
    if count <= limits.properties and _fits(stored.properties, set_, set_once, limits):
        return Fitting(set_, set_once, None)
    room = _Room(stored, limits)
    kept = {name: value for name, value in set_.items() if room.takes(name, value)}
    kept_once = {
        name: value
        for name, value in set_once.items()
        if name in stored.properties or name in kept or room.takes(name, value)
    }
    return Fitting(kept, kept_once, room.loss)


def _fits(
    properties: Properties, set_: Properties, set_once: Properties, limits: EventLimits
) -> bool:
    """Tell whether it fits even if nothing of what is stored was replaced."""
    parts = [part for part in (properties, set_, set_once) if part]
    return sum(len(orjson.dumps(part)) for part in parts) <= limits.state_bytes


class _Room:
    def __init__(self, stored: Stored, limits: EventLimits) -> None:
        self._stored = stored
        self._limits = limits
        self._count = len(stored.properties)
        self._names = stored.names
        self._bytes = sum(_size(*each) for each in stored.properties.items())
        self.loss: Loss | None = None

    def takes(self, name: str, value: Any) -> bool:
        """Take a property in, where there is room."""
        known, limits = self._stored.properties, self._limits
        more = _size(name, value)
        if name in known:
            more -= _size(name, known[name])
        elif self._count >= limits.properties:
            return self._lacks(f"{limits.properties} properties", f"{self._count + 1} properties")
        elif self._names >= NAMES_PER_PROPERTY * limits.properties:
            most = NAMES_PER_PROPERTY * limits.properties
            return self._lacks(f"{most} names, removed ones among them", f"{self._names + 1} names")
        if more > 0 and self._bytes + more > limits.state_bytes:
            return self._lacks(f"{limits.state_bytes} bytes", f"{self._bytes + more} bytes")
        self._bytes += more
        if name not in known:
            self._count += 1
            self._names += 1
        return True

    def _lacks(self, most: str, got: str) -> bool:
        if self.loss is None:
            self.loss = Loss(self._stored.kind, self._stored.field, f"at most {most}", got)
        return False


def _size(name: str, value: Any) -> int:
    """Size of a property in JSON, with what stands around it."""
    return len(orjson.dumps({name: value})) - 1
