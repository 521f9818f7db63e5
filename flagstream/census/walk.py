"""Stored groups and persons, one after the other."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from flagstream.flags import Steps
from flagstream.ports import Person, Search, StateView
from flagstream.state.groups import GroupState

MAX_EXAMINED = 20_000
"""A quarter of a second's work; of more, what is counted is a part."""

_STEP = 20
_ALL = Search("")
_T = TypeVar("_T")


class Examined(NamedTuple):
    """
    How far a walk has come.

    Attributes:
        is_complete: There are no others.
    """

    number: int
    is_complete: bool


def each_group(
    view: StateView,
    project_id: int,
    group_type: str,
    take: Callable[[tuple[str, GroupState]], None],
) -> Steps[Examined]:
    """Hand over the groups of a type with their keys, in the order of these."""

    def read(after: str | None) -> tuple[Sequence[tuple[str, GroupState]], str | None]:
        return view.groups(project_id, group_type, search=_ALL, after=after, limit=_STEP)

    return (yield from _walk(read, take))


def each_person(
    view: StateView, project_id: int, take: Callable[[Person], None]
) -> Steps[Examined]:
    """Hand over the persons, in the order of the ids that stay."""

    def read(after: str | None) -> tuple[Sequence[Person], str | None]:
        return view.persons(project_id, search=_ALL, after=after, limit=_STEP)

    return (yield from _walk(read, take))


def _walk(
    read: Callable[[str | None], tuple[Sequence[_T], str | None]], take: Callable[[_T], None]
) -> Steps[Examined]:
    """
    Hand over what *read* finds behind one key after the other.

    No cursor of the store is held in between, so that it may be closed and opened again meanwhile.
    """
    number, after = 0, None
    for _ in range(MAX_EXAMINED // _STEP):
        found, after = read(after)
        for each in found:
            take(each)
        number += len(found)
        if after is None:
            break
        yield
    return Examined(number, after is None)
