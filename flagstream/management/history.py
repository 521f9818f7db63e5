"""Histories of definitions, as people read them: what each change changed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from flagstream.ports import Change

from .bodies import Row

# What every change changes.
_COUNTERS = frozenset(["version", "updated_at", "scheduled_steps"])
_FILTERS = "filters"
_ABSENT: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    One member that a change changed.

    Attributes:
        field: Dotted.
        action: ``created``, ``changed`` or ``deleted``.
        before: None also where there was nothing.
        after: Likewise.
    """

    field: str
    action: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    A change beside the one before.

    Attributes:
        activity: ``created``, ``updated``, ``deleted`` or ``restored`` after a deletion.
    """

    change: Change
    activity: str
    differences: Sequence[Difference]


def entries(changes: Sequence[Change]) -> Sequence[Entry]:
    """Compare each change with the one before, oldest first; the first one is a creation."""
    found = []
    before: Row | None = None
    for change in changes:
        after = change.state.body
        found.append(
            Entry(
                change=change,
                activity=_activity(before, after),
                differences=[] if before is None else list(_differences(before, after)),
            )
        )
        before = after
    return found


def _activity(before: Row | None, after: Row) -> str:
    if before is None:
        return "created"
    was_deleted, is_deleted = before.get("deleted", False), after.get("deleted", False)
    if was_deleted == is_deleted:
        return "updated"
    return "deleted" if is_deleted else "restored"


def _differences(before: Row, after: Row) -> Iterator[Difference]:
    old, new = _flat(before), _flat(after)
    for field in sorted(old.keys() | new.keys()):
        was, is_now = old.get(field, _ABSENT), new.get(field, _ABSENT)
        if was is _ABSENT:
            yield Difference(field=field, action="created", before=None, after=is_now)
        elif is_now is _ABSENT:
            yield Difference(field=field, action="deleted", before=was, after=None)
        elif _canonical(was) != _canonical(is_now):
            yield Difference(field=field, action="changed", before=was, after=is_now)


def _canonical(value: Any) -> bytes:
    """Write a value so that equal ones are alike: for Python 1 and true are equal, too."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _flat(row: Row) -> Mapping[str, Any]:
    """Name the members of a row, and those of its filters, which are changed one by one."""
    flat = {name: value for name, value in row.items() if name not in _COUNTERS}
    filters = flat.pop(_FILTERS, None)
    if isinstance(filters, dict):
        flat.update((f"{_FILTERS}.{name}", value) for name, value in filters.items())
    return flat
