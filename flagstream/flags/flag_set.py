"""All flags of a project, compiled: an immutable snapshot that is asked on the request path."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from flagstream.errors import InvalidDefinitionError

from .bucketing import utf8
from .compiler import (
    DEVICE,
    PERSON,
    SLOTS,
    Actor,
    Actors,
    CompiledFlag,
    Rule,
    compile_flag,
    group_slot,
)
from .evaluation import Evaluation, EvaluationContext, Reason
from .model import MAX_INTEGER
from .parse import parse_flag

_NO_ACTORS: list[Actor | None] = [None] * SLOTS
_NO_PROPERTIES: Mapping[str, Any] = {}


class FlagSet:
    """
    Compiled flags in the order of their definition; immutable, compared by identity.

    Each flag is either in :attr:`person_flags` or, for one type, in :meth:`group_flags`. The
    answers of the latter depend on nothing but this set, the group's key and the group's
    properties. So a server can keep them ready, joined, until one of the three changes::

        ready = cache.get((flags, group_type, group_key))
        if ready is None:
            answers = flags.group_flags(group_type).evaluate(context)
            ready = b",".join([answer.v2 for answer in answers])

    and has only :attr:`person_flags` to evaluate for each request.

    Attributes:
        keys: Of the flags, in order.
        needs_person: Some flag tests a property of the person.
        group_types: Names of the types whose groups some flag looks at.
        person_flags: The flags that look at the person, at groups of several types, or at nobody.
    """

    def __init__(
        self, flags: Iterable[CompiledFlag] = (), group_types: Mapping[str, int] | None = None
    ) -> None:
        """
        Take *flags* in.

        Args:
            group_types: Index by name, of all types that the project has.
        """
        compiled = tuple(flags)
        names = {group_slot(index): name for name, index in (group_types or {}).items()}
        looked_at = frozenset[int]().union(*(flag.slots for flag in compiled))
        self._rules = tuple(flag.rule for flag in compiled)
        self._positions = {flag.key: at for at, flag in enumerate(compiled)}
        self._looks_at_person = not looked_at.isdisjoint({PERSON, DEVICE})
        self._group_slots = tuple((names[slot], slot) for slot in sorted(looked_at & names.keys()))
        self.keys: Collection[str] = tuple(self._positions)
        self.needs_person = any(PERSON in flag.reads for flag in compiled)
        self.group_types = frozenset(name for name, _ in self._group_slots)
        self._parts = self._split(compiled, names)
        self._nothing = FlagSet() if compiled else self
        self.person_flags = self._parts.get(None, self._nothing)

    def _split(
        self, flags: Sequence[CompiledFlag], names: Mapping[int, str]
    ) -> Mapping[str | None, "FlagSet"]:
        parts: defaultdict[str | None, list[CompiledFlag]] = defaultdict(list)
        for flag in flags:
            only = next(iter(flag.slots)) if len(flag.slots) == 1 else None
            parts[None if only is None else names.get(only)].append(flag)
        if len(parts) == 1:
            return dict.fromkeys(parts, self)
        types = {name: slot - group_slot(0) for slot, name in names.items()}
        return {name: FlagSet(part, types) for name, part in parts.items()}

    def group_flags(self, group_type: str) -> "FlagSet":
        """Give the flags that look at groups of this type and at nothing else."""
        return self._parts.get(group_type, self._nothing)

    def evaluate(
        self, context: EvaluationContext, keys: Collection[str] | None = None
    ) -> Sequence[Evaluation]:
        """
        Evaluate in the order of definition. Total: every context has answers.

        Args:
            keys: Of the flags to evaluate; unknown ones are passed over. None is all.
        """
        actors = _NO_ACTORS.copy()
        if self._looks_at_person:
            actors[PERSON] = (context.person_properties, utf8(context.distinct_id))
            if context.device_id:
                actors[DEVICE] = (context.person_properties, utf8(context.device_id))
        groups, properties = context.groups, context.group_properties
        for group_type, slot in self._group_slots:
            group_key = groups.get(group_type)
            if group_key is not None:
                actors[slot] = (properties.get(group_type, _NO_PROPERTIES), utf8(group_key))
        answers: list[Evaluation] = []
        for rule in self._rules if keys is None else self._rules_of(keys):
            answers.append(rule(actors))  # noqa: PERF401 -- for one flag, half the time
        return answers

    def _rules_of(self, keys: Collection[str]) -> Sequence[Rule]:
        positions = {self._positions[key] for key in keys if key in self._positions}
        return [self._rules[position] for position in sorted(positions)]


def compile_flags(rows: Mapping[str, Mapping[str, Any]], group_types: Mapping[str, int]) -> FlagSet:
    """
    Compile the flags that are active and not deleted. Total.

    A row that does not parse becomes a flag that answers ``failed``; the others work.

    Args:
        rows: As stored, by flag key.
        group_types: Index by name.
    """
    return FlagSet(
        (
            _compile(key, row)
            for key, row in rows.items()
            if row.get("active", True) is not False and row.get("deleted", False) is not True
        ),
        group_types,
    )


def _compile(key: str, row: Mapping[str, Any]) -> CompiledFlag:
    try:
        return compile_flag(parse_flag(row))
    except InvalidDefinitionError:
        return _failing(key, row)


def _failing(key: str, row: Mapping[str, Any]) -> CompiledFlag:
    answer = Evaluation(
        id=_count(row, "id"),
        key=utf8(key).decode(errors="replace"),
        version=_count(row, "version"),
        enabled=False,
        reason=Reason.FLAG_DATA_PARSING_ERROR,
        description="The flag's definition cannot be read",
        failed=True,
    )
    nobody = frozenset[int]()

    def rule(_: Actors) -> Evaluation:
        return answer

    return CompiledFlag(answer.key, rule, slots=nobody, reads=nobody, is_hashed=False)


def _count(row: Mapping[str, Any], name: str) -> int:
    value = row.get(name)
    return value if type(value) is int and 0 <= value <= MAX_INTEGER else 0
