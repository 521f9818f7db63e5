"""Flags and cohorts on their way between formats, and what they need of each other."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from flagstream.errors import InvalidDefinitionError, quote
from flagstream.flags.walk import Path, Row, cohort_tests, flag_tests
from flagstream.state.definitions import Kind

from .outcome import SKIP, Refusal, Refusals, Target


class Item:
    """
    A flag or a cohort as it was found.

    Attributes:
        refusals: What is wrong with it.
        notes: What is worth knowing of it.
    """

    def __init__(self, kind: Kind, file: str, path: Path, row: Row) -> None:
        self.notes: list[str] = []
        self.kind = kind
        self.row = row
        name = row.get("key") if kind is Kind.FLAG else row.get("id")
        self.refusals = Refusals(f"{kind} {name}", file, path)

    def note(self, text: str) -> None:
        """Note something that is worth knowing, once."""
        note = f"{self.refusals.place()}: {self.refusals.name}: {text}"
        if note not in self.notes:
            self.notes.append(note)


def check(refusals: Refusals, body: Row, parse: Callable[[Row], Any], instead: str) -> None:
    """
    Refuse what flagstream's own parser does, where nothing is refused yet.

    Args:
        instead: What to do.
    """
    try:
        parse(body)
    except InvalidDefinitionError as error:
        known = {refusal.place for refusal in refusals.found}
        for problem in error.problems:
            place = refusals.place() + problem.path.removeprefix("$")
            if any(place == each or place.startswith((f"{each}.", f"{each}[")) for each in known):
                continue
            refusals.found.append(
                Refusal(
                    name=refusals.name,
                    place=place,
                    what=quote(problem.got),
                    why=f"expected {problem.expected}",
                    instead=instead,
                )
            )


def refuse_dependents(items: Sequence[Item], target: Target) -> None:
    """Refuse what names flags or cohorts that are neither taken over nor there already."""
    flags = [item for item in items if item.kind is Kind.FLAG]
    keys = {str(item.row.get("id")): item.row.get("key") for item in flags}
    is_changed = True
    while is_changed:
        there = _There(items, keys, target)
        is_changed = False
        for item in items:
            if not item.refusals.found:
                for path, name in there.absent(item):
                    why = "there is none, or it is refused as well"
                    item.refusals.add(path, name, why, f"see to that first, or {SKIP}")
                is_changed |= bool(item.refusals.found)


class _There:
    """The flags and cohorts that can be named."""

    def __init__(self, items: Sequence[Item], keys: Mapping[str, Any], target: Target) -> None:
        self._keys = keys
        kept = [item for item in items if not item.refusals.found]
        self._flags: Collection[Any] = {
            *target.flag_keys,
            *(item.row.get("key") for item in kept if item.kind is Kind.FLAG),
        }
        self._cohorts: Collection[Any] = {
            *target.cohort_ids,
            *(item.row.get("id") for item in kept if item.kind is Kind.COHORT),
        }

    def absent(self, item: Item) -> Iterator[tuple[Path, str]]:
        """Walk through what a flag or cohort names and there is not."""
        walk = flag_tests if item.kind is Kind.FLAG else cohort_tests
        for path, test in walk(item.row):
            if test.get("type") == "cohort" and test.get("value") not in self._cohorts:
                yield path, f"cohort {test.get('value')}"
            elif test.get("type") == "flag" and not self._has_flag(test):
                yield path, f"flag {test.get('key')}"

    def _has_flag(self, test: Row) -> bool:
        name = test.get("key")
        if test.get("dependency_chain") is not None:
            return name in self._flags
        key = self._keys.get(str(name))
        # The ids of the project's own flags are not those of elsewhere.
        return key in self._flags or (name in self._flags and not str(name).isdecimal())
