"""Last-write-wins registers: the building block of every state here."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec


class Register(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """
    One property: ``[value, version, is deleted]``.

    A deleted property stays as a tombstone, so that an older write cannot bring it back.
    """

    value: Any
    version: int
    is_deleted: bool = False


Registers = Mapping[str, Register]
_NONE: Registers = {}


def written(values: Mapping[str, Any], unset: Iterable[str], version: int) -> dict[str, Register]:
    """Make the registers of one update: *unset* wins where both name a property."""
    registers = {name: Register(value, version) for name, value in values.items()}
    registers.update((name, Register(None, version, is_deleted=True)) for name in unset)
    return registers


def join(ours: Registers, theirs: Registers) -> Registers:
    """
    Keep per property the higher version. Commutative, associative, idempotent.

    Returns:
        *ours* itself where *theirs* brings nothing newer.
    """
    newer = {
        name: register
        for name, register in theirs.items()
        if name not in ours or register.version > ours[name].version
    }
    return {**ours, **newer} if newer else ours


def join_first(ours: Registers, theirs: Registers) -> Registers:
    """Keep per property the *lower* version: what was written first stays."""
    older = {
        name: register
        for name, register in theirs.items()
        if name not in ours or register.version < ours[name].version
    }
    return {**ours, **older} if older else ours


def register_of(name: str, written: Registers, once: Registers = _NONE) -> Register | None:
    """Find what a property's value comes from, as :func:`values` reads it; None where none is."""
    return counting(written.get(name), once.get(name))


def counting(last: Register | None, first: Register | None) -> Register | None:
    """Choose between the last write of a property and the first that was set once, likewise."""
    if last is not None and not last.is_deleted:
        return last
    if first is not None and (last is None or first.version > last.version):
        return first
    return None


def values(written: Registers, once: Registers = _NONE) -> dict[str, Any]:
    """
    Read the properties that are set.

    Args:
        written: Joined by :func:`join`.
        once: Joined by :func:`join_first`; they count where nothing was written, or removed since.
    """
    present = {
        name: register.value for name, register in written.items() if not register.is_deleted
    }
    for name, first in once.items():
        last = written.get(name)
        if last is None or (last.is_deleted and first.version > last.version):
            present[name] = first.value
    return present
