"""Group types by their names: their indexes are other ones in every project."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flagstream.flags.model import MAX_GROUP_TYPES

from .outcome import Row, Target

_INDEXES = ("aggregation_group_type_index", "group_type_index")
# Whatever stands in there is not flagstream's to read.
_OPAQUE = ("payloads", "value")
Path = tuple[int | str, ...]


class Allotment(NamedTuple):
    """
    The indexes that a project's group types have, or are to get.

    Attributes:
        indexes: By name, of all of them.
        added: Of those that are not there yet, in the order in which they get theirs.
    """

    indexes: Mapping[str, int]
    added: Mapping[str, int]


def allot(wanted: Sequence[str], used: Sequence[str], target: Target) -> Allotment:
    """
    Give indexes to types that a project does not have yet, as far as there is room.

    Args:
        wanted: All types of elsewhere. If not all find room, only those that are *used* get one.
    """
    free = MAX_GROUP_TYPES - len(target.group_types)
    names = [name for name in wanted if name not in target.group_types]
    if len(names) > free:
        names = [name for name in names if name in used][:free]
    added = {name: index for index, name in enumerate(names, len(target.group_types))}
    return Allotment({**target.group_types, **added}, added)


def named_indexes(row: Any, path: Path = ()) -> Iterator[tuple[Path, int]]:
    """Walk through the places of a flag or a cohort that name a group type by its index."""
    if isinstance(row, list):
        for at, each in enumerate(row):
            yield from named_indexes(each, (*path, at))
    elif isinstance(row, dict):
        for name, value in row.items():
            if name in _INDEXES and type(value) is int:
                yield (*path, name), value
            elif name not in _OPAQUE:
                yield from named_indexes(value, (*path, name))


def with_indexes(row: Row, indexes: Mapping[int, int]) -> dict[str, Any]:
    """Write a flag or a cohort with the indexes of another project."""
    changed: dict[str, Any] = _translated(row, indexes)
    return changed


def _translated(row: Any, indexes: Mapping[int, int]) -> Any:
    if isinstance(row, list):
        return [_translated(each, indexes) for each in row]
    if not isinstance(row, dict):
        return row
    return {name: _member(name, value, indexes) for name, value in row.items()}


def _member(name: str, value: Any, indexes: Mapping[int, int]) -> Any:
    if name in _OPAQUE:
        return value
    if name in _INDEXES and type(value) is int:
        return indexes.get(value, value)
    return _translated(value, indexes)
