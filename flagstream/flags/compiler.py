"""
A definition compiled to a rule: a closure over tests, bounds and answers that were made before.

What a flag can answer is finite (condition x variant x reason), so evaluating builds nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from . import bucketing
from .bucketing import IsInside, PickVariant
from .evaluation import Evaluation, Reason
from .model import MAX_GROUP_TYPES, Condition, FlagDefinition
from .operators import Properties, Test, compile_test
from .parse import aggregation, source

Actor = tuple[Properties, bytes]
"""Properties, and the identifier that is hashed."""
Actors = Sequence[Actor | None]
"""By slot; None where a request names no such actor."""
Rule = Callable[[Actors], Evaluation]

PERSON, DEVICE, _FIRST_GROUP = 0, 1, 2
SLOTS = _FIRST_GROUP + MAX_GROUP_TYPES

_NOBODY: Actor = ({}, b"")
_RANKS = {
    Reason.NO_GROUP_TYPE: 1,
    Reason.NO_CONDITION_MATCH: 2,
    Reason.OUT_OF_ROLLOUT_BOUND: 3,
}
_DESCRIPTIONS = {
    Reason.NO_GROUP_TYPE: "No group type",
    Reason.NO_CONDITION_MATCH: "No matching condition set",
    Reason.OUT_OF_ROLLOUT_BOUND: "Out of rollout bound",
}
_GROUPS_SKIPPED = (
    "No matching condition set "
    "(group conditions were not evaluated because no group type was provided)"
)


def group_slot(group_type_index: int) -> int:
    """Tell where the group of a type stands among the actors."""
    return _FIRST_GROUP + group_type_index


class CompiledFlag(NamedTuple):
    """
    A flag that can be asked.

    Attributes:
        slots: Of the actors that it looks at, for a property or for the identifier.
        reads: Of the actors whose properties it tests.
        is_hashed: The identifier can change an answer.
    """

    key: str
    rule: Rule
    slots: frozenset[int]
    reads: frozenset[int]
    is_hashed: bool


def compile_flag(definition: FlagDefinition) -> CompiledFlag:
    """Compile a definition; its rule is total."""
    answers = _Answers(definition)
    plans = [_plan(definition, condition) for condition in definition.filters.groups or ()]
    rules = [_condition_rule(plan, answers, index) for index, plan in enumerate(plans)]
    reads = frozenset(slot for plan in plans for slot in plan.reads)
    return CompiledFlag(
        key=definition.key,
        rule=rules[0] if len(rules) == 1 else _first_match(rules, answers),
        slots=reads.union(plan.slot for plan in plans),
        reads=reads,
        is_hashed=any(plan.is_hashed for plan in plans),
    )


class _Answers:
    """Makes the answers of one flag."""

    def __init__(self, definition: FlagDefinition) -> None:
        self._payloads: Mapping[str, Any] = definition.filters.payloads or {}
        self._answer = partial(
            Evaluation, id=definition.id, key=definition.key, version=definition.version
        )

    def match(self, index: int, variant: str | None) -> Evaluation:
        return self._answer(
            enabled=True,
            variant=variant,
            reason=Reason.CONDITION_MATCH,
            condition_index=index,
            description=f"Matched condition set {index + 1}",
            payload=self._payloads.get("true" if variant is None else variant),
        )

    def miss(self, reason: Reason, index: int | None, description: str = "") -> Evaluation:
        return self._answer(
            enabled=False,
            reason=reason,
            condition_index=index,
            description=description or _DESCRIPTIONS[reason],
        )


class _Plan(NamedTuple):
    """
    One condition, taken apart.

    Attributes:
        slot: Whom it is about.
        tests: Of the properties of whom it is about.
        others: Tests of others' properties, with their slots.
        reads: Slots of all whose properties are tested.
        is_inside: None where the rollout lets everybody in.
        pick: Index into *variants*.
        variants: What a match can have; None is no variant.
    """

    slot: int
    tests: Sequence[Test]
    others: Sequence[tuple[int, Test]]
    reads: frozenset[int]
    is_inside: IsInside | None
    pick: PickVariant | int
    variants: Sequence[str | None]

    @property
    def is_hashed(self) -> bool:
        return self.is_inside is not None or not isinstance(self.pick, int)


def _plan(definition: FlagDefinition, condition: Condition) -> _Plan:
    aggregated = aggregation(definition, condition)
    slot = _slot(aggregated)
    tests = [(_slot(source(each, aggregated)), each) for each in condition.properties or ()]
    percentage = condition.rollout_percentage
    pick, variants = _variants(definition, condition)
    plan = _Plan(
        slot=slot,
        tests=[compile_test(each) for of, each in tests if of == slot],
        others=[(of, compile_test(each)) for of, each in tests if of != slot],
        reads=frozenset(of for of, _ in tests),
        is_inside=bucketing.rollout(
            definition.bucketing, definition.key, 100 if percentage is None else percentage
        ),
        pick=pick,
        variants=variants,
    )
    is_by_device = slot == PERSON and definition.bucketing_identifier == "device_id"
    # Where the hash cannot matter, a request without a device id is judged all the same.
    return plan._replace(slot=DEVICE) if is_by_device and plan.is_hashed else plan


def _slot(group_type_index: int | None) -> int:
    return PERSON if group_type_index is None else group_slot(group_type_index)


def _variants(
    definition: FlagDefinition, condition: Condition
) -> tuple[PickVariant | int, Sequence[str | None]]:
    multivariate = definition.filters.multivariate
    variants = (multivariate and multivariate.variants) or ()
    keys = [variant.key for variant in variants]
    if condition.variant in keys:
        return 0, [condition.variant]
    shares = [variant.rollout_percentage for variant in variants]
    return bucketing.variants(definition.bucketing, definition.key, shares), [*keys, None]


def _condition_rule(plan: _Plan, answers: _Answers, index: int) -> Rule:
    slot, tests, others = plan.slot, tuple(plan.tests), tuple(plan.others)
    is_inside = plan.is_inside
    matches = [answers.match(index, variant) for variant in plan.variants]
    pick, match = _choice(plan.pick, matches)
    no_match = answers.miss(Reason.NO_CONDITION_MATCH, index)
    outside = answers.miss(Reason.OUT_OF_ROLLOUT_BOUND, index)
    absent = outside if slot == DEVICE else answers.miss(Reason.NO_GROUP_TYPE, index)

    def rule(actors: Actors) -> Evaluation:
        actor = actors[slot]
        if actor is None:
            return absent
        properties, identifier = actor
        for test in tests:
            if not test(properties):
                return no_match
        for other, test in others:
            if not test((actors[other] or _NOBODY)[0]):
                return no_match
        if is_inside is not None and not is_inside(identifier):
            return outside
        return match if pick is None else matches[pick(identifier)]

    return rule


def _choice(
    pick: PickVariant | int, matches: Sequence[Evaluation]
) -> tuple[PickVariant | None, Evaluation]:
    """Resolve a choice that is the same for everybody."""
    return (None, matches[pick]) if isinstance(pick, int) else (pick, matches[0])


def _first_match(rules: Sequence[Rule], answers: _Answers) -> Rule:
    """Ask the conditions in their order; where none matches, answer what came closest."""
    nothing = answers.miss(Reason.NO_CONDITION_MATCH, None)
    skipped = [
        answers.miss(Reason.NO_CONDITION_MATCH, index, _GROUPS_SKIPPED)
        for index in range(len(rules))
    ]

    def rule(actors: Actors) -> Evaluation:
        misses: list[Evaluation] = []
        for each in rules:
            answer = each(actors)
            if answer.enabled:
                return answer
            misses.append(answer)
        if not misses:
            return nothing
        # Of equals the later one, as the server reports it.
        closest = max(range(len(misses)), key=lambda at: (_RANKS[misses[at].reason], at))
        if misses[closest].reason is not Reason.NO_CONDITION_MATCH:
            return misses[closest]
        has_skipped = any(miss.reason is Reason.NO_GROUP_TYPE for miss in misses)
        return skipped[closest] if has_skipped else misses[closest]

    return rule
