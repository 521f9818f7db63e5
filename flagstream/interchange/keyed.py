"""Whose a targeting key is: formats that know but one are of persons, or of groups of one type."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .group_types import allot
from .items import Item
from .outcome import Imported, Refusals, Target, Translated


class Keyed(NamedTuple):
    """
    What attributes and the targeting key are, in filters.

    Attributes:
        key_property: The property that the targeting key is.
        of_property: Members of a filter that say whose property it tests.
        aggregation: Members of a flag's rules that say what it is about.
        added: A group type that the project does not have yet, with the index that it is to get.
    """

    key_property: str
    of_property: Mapping[str, Any]
    aggregation: Mapping[str, Any]
    added: Mapping[str, int]
    refusals: Refusals

    @classmethod
    def of(cls, target: Target) -> "Keyed":
        """Read it from the group type that was named, persons where none was."""
        refusals = Refusals("--group-type", "the command")
        names = target.named_types
        if len(names) > 1:
            why = "the files know one targeting key"
            refusals.add((), ", ".join(names), why, "name the type whose key it is")
        if not names:
            return cls("distinct_id", {"type": "person"}, {}, {}, refusals)
        allotment = allot(names[:1], names[:1], target)
        index = allotment.indexes.get(names[0])
        if index is None:
            why = "the project has five other group types"
            refusals.add((), names[0], why, "name one of them")
        of_property = {"type": "group", "group_type_index": index}
        aggregation = {"aggregation_group_type_index": index}
        return cls("$group_key", of_property, aggregation, allotment.added, refusals)

    def imported(
        self, files: Sequence[Refusals], items: Sequence[Item], flags: Sequence[Translated]
    ) -> Imported:
        """
        Put together what files said.

        Args:
            files: What is wrong with each as a whole.
        """
        refused = [*self.refusals.found, *(each for file in files for each in file.found)]
        return Imported(
            flags=flags,
            group_types=self.added,
            refused=[*refused, *(each for item in items for each in item.refusals.found)],
            notes=[note for item in items if not item.refusals.found for note in item.notes],
        )
