"""
Conditions compiled to rules: closures over tests, bounds and answers that were made before.

What a flag can answer is finite (condition x variant x reason), so evaluating builds nothing.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from . import bucketing
from .bucketing import IsInside, PickVariant
from .checks import Compiler, Needs
from .dates import DATE_OPERATORS
from .evaluation import Answers, Basis, Evaluation, Reason
from .model import Condition, FlagDefinition, PropertyFilter
from .operators import Test, Texts
from .parse import aggregation, source
from .slots import DEVICE, PERSON, STICKY, Check, Request, slot_of

Rule = Callable[[Request], Evaluation]

_Misses = tuple[Evaluation, Evaluation, Evaluation]
"""To who is absent, to whom the filters do not match, and to whom the rollout leaves out."""

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
_BEHAVIORAL = (
    "No matching condition set (what a person did, which a cohort asks for, cannot be judged here)"
)
_NO_COHORT = "A cohort that the flag names does not exist, or is defined by itself"
_PROPERTIES = ("person", "group")


class Plan(NamedTuple):
    """
    One condition, taken apart.

    Attributes:
        slot: Whom it is about.
        tests: Of the properties of whom it is about.
        texts: Property, and the texts of which it wants one, where the only test is that plain.
        checks: All its other filters.
        needs: What these look at.
        is_inside: None where the rollout lets everybody in.
        pick: Index into *variants*.
        variants: What a match can have; None is no variant.
    """

    slot: int
    tests: Sequence[Test]
    texts: Texts | None
    checks: Sequence[Check]
    needs: Needs
    is_inside: IsInside | None
    pick: PickVariant | int
    variants: Sequence[str | None]

    @property
    def is_hashed(self) -> bool:
        """The identifier can change an answer."""
        return self.is_inside is not None or not isinstance(self.pick, int)

    @property
    def basis(self) -> Basis:
        """What a match follows from."""
        if self.is_hashed:
            return Basis.HASH
        return Basis.RULES if self.tests or self.checks else Basis.NOTHING


def conditions_rule(
    definition: FlagDefinition, compiler: Compiler, answers: Answers, needs: Needs
) -> tuple[Rule, Sequence[Plan]]:
    """
    Compile the conditions of a flag.

    Args:
        needs: What they look at is added.
    """
    plans = [plan_of(definition, condition, compiler) for condition in definition.conditions]
    for plan in plans:
        needs.include(plan.needs)
    compiled = [condition_rule(plan, answers, index) for index, plan in enumerate(plans)]
    rules = [rule for rule, _ in compiled]
    if len(rules) == 1:
        return rules[0], plans
    exits = [outside for _, outside in compiled] if definition.filters.early_exit else ()
    return _first_match(rules, answers, exits), plans


def plan_of(definition: FlagDefinition, condition: Condition, compiler: Compiler) -> Plan:
    """Take one condition of a flag apart."""
    aggregated, needs = aggregation(definition, condition), Needs()
    slot = slot_of(aggregated)
    tests: list[Test] = []
    checks: list[Check] = []
    # Cohorts last, as they cost most.
    for each in sorted(condition.tests, key=lambda each: each.type == "cohort"):
        if _is_own(each, slot, aggregated):
            tests.append(compiler.property_test(each, slot, needs))
        else:
            checks.append(compiler.check(each, aggregated, needs))
    percentage = condition.rollout_percentage
    is_inside = bucketing.rollout(
        definition.bucketing, definition.key, 100 if percentage is None else percentage
    )
    pick, variants = _variants(definition, condition)
    if is_inside is not None or not isinstance(pick, int):
        slot = _hashed_slot(definition, slot)
    texts = compiler.texts(condition.tests[0]) if len(tests) == 1 and not checks else None
    return Plan(slot, tests, texts, checks, needs, is_inside, pick, variants)


def _is_own(test: PropertyFilter, slot: int, aggregated: int | None) -> bool:
    return (
        test.type in _PROPERTIES
        and slot_of(source(test, aggregated)) == slot
        and test.operator not in DATE_OPERATORS
    )


def _hashed_slot(definition: FlagDefinition, slot: int) -> int:
    """
    Tell by which identifier whoever is in *slot* is bucketed.

    Where the hash cannot matter nobody asks, so that a request without a device is judged too.
    """
    if slot != PERSON:
        return slot
    if definition.bucketing_identifier == "device_id":
        return DEVICE
    return STICKY if definition.ensure_experience_continuity else PERSON


def _variants(
    definition: FlagDefinition, condition: Condition
) -> tuple[PickVariant | int, Sequence[str | None]]:
    variants = definition.variants
    if not variants:
        return 0, (None,)
    keys = [variant.key for variant in variants]
    if condition.variant in keys:
        return 0, [condition.variant]
    shares = [variant.rollout_percentage for variant in variants]
    return bucketing.variants(definition.bucketing, definition.key, shares), [*keys, None]


def condition_rule(plan: Plan, answers: Answers, index: int) -> tuple[Rule, Evaluation]:
    """Make the rule of a condition, and give its answer to whom the rollout leaves out."""
    slot, tests, checks = plan.slot, tuple(plan.tests), tuple(plan.checks)
    is_inside, (absent, no_match, outside) = plan.is_inside, _misses(plan, answers, index)
    pick, match, matches = _matches(plan, answers, index)
    if plan.needs.error is not None:
        is_inside, pick = None, None
    misses = (absent, no_match, outside)
    if len(tests) == 1 and not checks and pick is None and is_inside is not None:
        if plan.texts is not None:
            return _text_rule(slot, (plan.texts, tests[0]), is_inside, misses, match), outside
        return _plain_rule(slot, tests[0], is_inside, misses, match), outside
    choose = _chooser(pick, match, matches)
    return _full_rule(slot, (tests, checks), is_inside, misses, choose), outside


def _chooser(
    pick: PickVariant | None, match: Evaluation, matches: Sequence[Evaluation]
) -> Callable[[bytes], Evaluation]:
    def choose(identifier: bytes) -> Evaluation:
        return match if pick is None else matches[pick(identifier)]

    return choose


def _full_rule(
    slot: int,
    filters: tuple[Sequence[Test], Sequence[Check]],
    is_inside: IsInside | None,
    misses: _Misses,
    choose: Callable[[bytes], Evaluation],
) -> Rule:
    (tests, checks), (absent, no_match, outside) = filters, misses

    def rule(request: Request) -> Evaluation:
        actor = request[slot]
        if actor is None:
            return absent
        properties, identifier = actor
        for test in tests:
            if not test(properties):
                return no_match
        for check in checks:
            if not check(request):
                return no_match
        if is_inside is not None and not is_inside(identifier):
            return outside
        return choose(identifier)

    return rule


def _matches(
    plan: Plan, answers: Answers, index: int
) -> tuple[PickVariant | None, Evaluation, Sequence[Evaluation]]:
    """Make what picks a match; None where it is the same for everybody, and that match."""
    if plan.needs.error is not None:
        failed = answers.off(plan.needs.error, index, _NO_COHORT, failed=True)
        return None, failed, ()
    description = f"Matched condition set {index + 1}"
    matches = [
        answers.on(Reason.CONDITION_MATCH, index, description, variant, plan.basis)
        for variant in plan.variants
    ]
    if isinstance(plan.pick, int):
        return None, matches[plan.pick], matches
    return plan.pick, matches[0], matches


def _misses(plan: Plan, answers: Answers, index: int) -> _Misses:
    outside = absent = _miss(answers, Reason.OUT_OF_ROLLOUT_BOUND, index)
    if plan.slot == DEVICE:
        # One of its own: an early exit is for whom the rollout leaves out, device and all.
        absent = _miss(answers, Reason.OUT_OF_ROLLOUT_BOUND, index)
    elif plan.slot not in (PERSON, STICKY):
        absent = _miss(answers, Reason.NO_GROUP_TYPE, index)
    description = _BEHAVIORAL if plan.needs.is_behavioral else ""
    return absent, _miss(answers, Reason.NO_CONDITION_MATCH, index, description), outside


def _miss(answers: Answers, reason: Reason, index: int | None, description: str = "") -> Evaluation:
    return answers.off(reason, index, description or _DESCRIPTIONS[reason])


def _plain_rule(
    slot: int, test: Test, is_inside: IsInside, misses: _Misses, match: Evaluation
) -> Rule:
    """Make the rule that most flags have, without loops: one test and a rollout."""
    absent, no_match, outside = misses

    def rule(request: Request) -> Evaluation:
        actor = request[slot]
        if actor is None:
            return absent
        if not test(actor[0]):
            return no_match
        return match if is_inside(actor[1]) else outside

    return rule


def _text_rule(
    slot: int, filters: tuple[Texts, Test], is_inside: IsInside, misses: _Misses, match: Evaluation
) -> Rule:
    """Make the plain rule whose test mostly ends with the first look: at a text as it stands."""
    ((key, (wanted, *_)), test), (absent, no_match, outside) = filters, misses

    def rule(request: Request) -> Evaluation:
        actor = request[slot]
        if actor is None:
            return absent
        properties, identifier = actor
        if properties.get(key) == wanted or test(properties):
            return match if is_inside(identifier) else outside
        return no_match

    return rule


def _first_match(rules: Sequence[Rule], answers: Answers, exits: Sequence[Evaluation]) -> Rule:
    """
    Ask the conditions in their order; where none matches, answer what came closest.

    Args:
        exits: Answers that end the evaluation although they match nothing.
    """
    nothing = _miss(answers, Reason.NO_CONDITION_MATCH, None)
    skipped = [
        _miss(answers, Reason.NO_CONDITION_MATCH, index, _GROUPS_SKIPPED)
        for index in range(len(rules))
    ]

    def rule(request: Request) -> Evaluation:
        misses: list[Evaluation] = []
        for each in rules:
            answer = each(request)
            if answer.enabled or answer.failed:
                return answer
            misses.append(answer)
            if any(answer is each for each in exits):
                return answer
        if not misses:
            return nothing
        # Of equals the later one, as the server reports it.
        closest = max(range(len(misses)), key=lambda at: (_RANKS[misses[at].reason], at))
        if misses[closest].reason is not Reason.NO_CONDITION_MATCH:
            return misses[closest]
        has_skipped = any(miss.reason is Reason.NO_GROUP_TYPE for miss in misses)
        return skipped[closest] if has_skipped else misses[closest]

    return rule
