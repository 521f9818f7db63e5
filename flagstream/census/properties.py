"""Which properties groups have, and which values."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flagstream.flags import Steps
from flagstream.flags.values import text
from flagstream.ports import StateView
from flagstream.state.groups import GroupState

from .walk import Examined, each_group

_MAX_CHARS = 400
_MAX_COUNTED = 5_000
_MAX_NAMES = 500
_MAX_VALUES = 20


class Tally(NamedTuple):
    """
    How often each of some texts was found.

    Attributes:
        found: The most frequent first.
        examined: In how many groups.
        is_complete: In all there are, and each text was counted.
    """

    found: Sequence[tuple[str, int]]
    examined: int
    is_complete: bool


def property_names(view: StateView, project_id: int, group_type: str) -> Steps[Tally]:
    """Count which properties the groups of a type have; at most 500 names."""
    count = _Count()

    def take(group: tuple[str, GroupState]) -> None:
        count.add(group[1].values())

    return count.tally((yield from each_group(view, project_id, group_type, take)), _MAX_NAMES)


def property_values(
    view: StateView, project_id: int, group_type: str, name: str, part: str
) -> Steps[Tally]:
    """
    Count the values of a property, as the texts that filters compare; at most 20 of them.

    Args:
        part: Of the value, in any case; "" for all.
    """
    count, part = _Count(), part.lower()

    def take(group: tuple[str, GroupState]) -> None:
        values = group[1].values()
        if name in values and part in (value := text(values[name])).lower():
            count.add([value])

    return count.tally((yield from each_group(view, project_id, group_type, take)), _MAX_VALUES)


class _Count:
    """Counts texts, as many different ones as memory is to hold."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._is_whole = True

    def add(self, texts: Iterable[str]) -> None:
        """Count each once."""
        for each in texts:
            if len(each) <= _MAX_CHARS and (
                each in self._counts or len(self._counts) < _MAX_COUNTED
            ):
                self._counts[each] += 1
            else:
                self._is_whole = False

    def tally(self, examined: Examined, limit: int) -> Tally:
        """Give the most frequent, of equals those that were found first."""
        is_complete = examined.is_complete and self._is_whole
        return Tally(self._counts.most_common(limit), examined.number, is_complete)
