"""Filters compiled to checks of a request, with all that they look at."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .bucketing import utf8
from .context import METADATA
from .dates import DATE_OPERATORS
from .evaluation import Evaluation, Reason
from .model import CohortDefinition, PropertyFilter, PropertyGroup
from .operators import Matching, Test, Texts, compile_test, compile_timed, plain_texts
from .parse import source
from .slots import ALIASES, ANSWERS, COHORTS, NOBODY, NOW, PERSON, Check, Request, slot_of

_DISTINCT_IDS = METADATA + "distinct_ids"


class FlagScope(Protocol):
    """The other flags that a flag may depend on."""

    def resolve(self, test: PropertyFilter) -> str | None:
        """Find the key of the flag that a filter names; None where there is none."""
        ...

    def is_off(self, key: str) -> bool:
        """Tell whether a flag is not active, hence false for everybody."""
        ...


@dataclass(slots=True)
class Needs:
    """
    What a check looks at.

    Attributes:
        names: Property names by slot of whose they are.
        flags: Keys of the flags whose answers it looks at.
        is_timed: It looks at the present.
        is_behavioral: It holds something that cannot be judged at flag time.
        error: Why it cannot be judged at all; None for what can.
    """

    names: dict[int, set[str]] = field(default_factory=dict[int, set[str]])
    flags: set[str] = field(default_factory=set[str])
    is_timed: bool = False
    is_behavioral: bool = False
    error: Reason | None = None

    def read(self, slot: int, *names: str) -> None:
        """Note that properties of somebody are looked at."""
        self.names.setdefault(slot, set()).update(names)

    def read_all(self, names: Mapping[int, Collection[str]]) -> None:
        """Note that properties of several are looked at, by slot."""
        for slot, each in names.items():
            self.names.setdefault(slot, set()).update(each)

    def include(self, other: "Needs") -> None:
        """Add what another check looks at."""
        self.read_all(other.names)
        self.flags |= other.flags
        self.is_timed |= other.is_timed
        self.is_behavioral |= other.is_behavioral
        self.error = self.error or other.error

    @property
    def reads(self) -> Mapping[int, frozenset[str]]:
        """The names by slot, as they are now."""
        return {slot: frozenset(names) for slot, names in self.names.items()}


@dataclass(frozen=True, slots=True)
class CompiledCohort:
    """A cohort that can be asked, and what that looks at."""

    check: Check
    needs: Needs


Cohorts = Mapping[int, CompiledCohort]


class Compiler:
    """Compiles the filters of one project."""

    def __init__(self, matching: Matching, cohorts: Cohorts, flags: FlagScope) -> None:
        self.matching = matching
        self.cohorts = cohorts
        self._flags = flags

    def property_test(self, test: PropertyFilter, slot: int, needs: Needs) -> Test:
        """Compile a filter of a property, other than a date, of whoever is in *slot*."""
        needs.read(slot, test.key)
        return compile_test(test, self.matching)

    def texts(self, test: PropertyFilter) -> Texts | None:
        """Give the texts of which a filter wants one; None where it is another filter."""
        return plain_texts(test, self.matching)

    def check(self, test: PropertyFilter, aggregated: int | None, needs: Needs) -> Check:
        """
        Compile any filter.

        Args:
            aggregated: The type of group that the condition is about; None for the person.
            needs: What the check looks at is added.
        """
        if test.type == "cohort":
            return self._cohort_check(test, needs)
        if test.type == "flag":
            return self._flag_check(test, needs)
        if test.type == "behavioral":
            needs.is_behavioral = True
            return _nobody
        if test.type == "person_metadata":
            test = test.model_copy(update={"key": METADATA + test.key})
        return self._property_check(test, slot_of(source(test, aggregated)), needs)

    def _property_check(self, test: PropertyFilter, slot: int, needs: Needs) -> Check:
        if test.operator not in DATE_OPERATORS:
            holds = self.property_test(test, slot, needs)
            return lambda request: holds((request[slot] or NOBODY)[0])
        needs.read(slot, test.key)
        needs.is_timed = True
        timed = compile_timed(test, self.matching)
        if timed is None:
            return _nobody
        return lambda request: timed((request[slot] or NOBODY)[0], request[NOW])

    def _cohort_check(self, test: PropertyFilter, needs: Needs) -> Check:
        cohort = self.cohorts.get(test.value)
        if cohort is None or cohort.needs.error is not None:
            # Whoever gets as far as this is who the flag fails for.
            needs.error = Reason.DEPENDENCY_NOT_FOUND
            return _everybody
        needs.include(cohort.needs)
        check = cohort.check
        return check if test.operator == "in" else _not(check)

    def _flag_check(self, test: PropertyFilter, needs: Needs) -> Check:
        key, wanted = self._flags.resolve(test), test.value
        if test.operator != "flag_evaluates_to" or not isinstance(wanted, bool | str):
            return _nobody
        if key is None or self._flags.is_off(key):
            return _everybody if wanted is False else _nobody
        needs.flags.add(key)
        if isinstance(wanted, str):
            return lambda request: request[ANSWERS][key].variant == wanted
        if wanted:
            return lambda request: request[ANSWERS][key].enabled
        return lambda request: _is_off(request[ANSWERS][key])


def _nobody(_: Request) -> bool:
    return False


def _everybody(_: Request) -> bool:
    return True


def _is_off(answer: Evaluation) -> bool:
    return not answer.enabled and not answer.failed


def _not(check: Check) -> Check:
    return lambda request: not check(request)


def compile_cohort(cohort: CohortDefinition, compiler: Compiler) -> CompiledCohort:
    """Compile a cohort; those that it names must be compiled already."""
    needs = Needs()
    if cohort.is_static:
        return CompiledCohort(_member_check(cohort, needs), needs)
    own = cohort.group_type_index
    check = _group_check(cohort.filters.properties, own, compiler, needs)
    if own is None:
        return CompiledCohort(check, needs)
    slot = slot_of(own)
    needs.read(slot)
    # No group is in no cohort, whatever its missing properties would satisfy.
    return CompiledCohort(lambda request: request[slot] is not None and check(request), needs)


def _member_check(cohort: CohortDefinition, needs: Needs) -> Check:
    slot = slot_of(cohort.group_type_index)
    members = frozenset(map(utf8, cohort.members))
    # No request brings along all ids of its person, as it may bring all properties.
    needs.read(slot, *([_DISTINCT_IDS] if slot == PERSON else ()))

    def is_member(request: Request) -> bool:
        actor = request[slot]
        if actor is None:
            return False
        if actor[1] in members:
            return True
        return slot == PERSON and not members.isdisjoint(request[ALIASES])

    return is_member


def _group_check(group: PropertyGroup, own: int | None, compiler: Compiler, needs: Needs) -> Check:
    checks = [entry_check(entry, own, compiler, needs) for entry in group.values]
    return _all(checks) if group.type == "AND" else _any(checks)


def entry_check(
    entry: PropertyGroup | PropertyFilter, own: int | None, compiler: Compiler, needs: Needs
) -> Check:
    """
    Compile what a cohort is made of.

    Args:
        own: The type of the groups that are in it; None for persons.
        needs: What the check looks at is added.
    """
    if isinstance(entry, PropertyGroup):
        return _group_check(entry, own, compiler, needs)
    check = compiler.check(entry, own, needs)
    if entry.type == "cohort":
        check = _once(f"{entry.operator} {entry.value}", check)
    # What cannot be judged is false, turned around or not.
    return _not(check) if entry.negation and entry.type != "behavioral" else check


def _once(name: str, check: Check) -> Check:
    """Check once a request: cohorts that name each other many times are as many ways through."""

    def holds(request: Request) -> bool:
        known: dict[str, bool] | None = request[COHORTS]
        if known is None:
            known = request[COHORTS] = {}
        if name not in known:
            known[name] = check(request)
        return known[name]

    return holds


def _all(checks: Sequence[Check]) -> Check:
    if len(checks) == 1:
        return checks[0]

    def holds(request: Request) -> bool:
        for check in checks:  # noqa: SIM110 -- a generator takes twice the time
            if not check(request):
                return False
        return True

    return holds


def _any(checks: Sequence[Check]) -> Check:
    def holds(request: Request) -> bool:
        for check in checks:  # noqa: SIM110 -- a generator takes twice the time
            if check(request):
                return True
        return False

    return holds


def cohort_ids(tests: Iterable[PropertyFilter]) -> Collection[Any]:
    """Pick the ids of the cohorts that are named."""
    return {test.value for test in tests if test.type == "cohort"}
