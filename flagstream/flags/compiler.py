"""A definition compiled to a flag that can be asked, with all that its answer follows from."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from .checks import Compiler, Needs
from .conditions import Rule, conditions_rule
from .evaluation import Answers, Evaluation, Kind, Reason
from .model import FlagDefinition
from .overrides import enrollment_rule, holdout_rule, sticky_rule
from .slots import PERSON, STICKY

UNREAD = "What is stored cannot be read at the moment"


class CompiledFlag(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """
    A flag that can be asked.

    Attributes:
        slots: Of the actors that it looks at, for a property or for the identifier.
        reads: Names of the properties that it tests, by slot of whose they are.
        is_hashed: The identifier can change an answer.
        is_timed: The present can change an answer.
        is_sticky: Persons are bucketed for good by who they were before being identified.
        is_alone: It follows from its definition alone, not from cohorts or other flags.
        needs: All flags that its answer follows from, each behind those that it needs itself.
        answers: Makes more of its answers.
        runtime: Whose requests see the flag; None is all.
        contexts: Of which a request that names any has to name one; empty is all.
    """

    key: str
    rule: Rule
    slots: frozenset[int]
    reads: Mapping[int, frozenset[str]]
    is_hashed: bool = False
    is_timed: bool = False
    is_sticky: bool = False
    is_alone: bool = False
    needs: Sequence["CompiledFlag"] = ()
    answers: Answers
    runtime: str | None = None
    contexts: frozenset[str] = frozenset()

    def may_need(self, unread: Mapping[int, Collection[str] | None]) -> bool:
        """
        Tell whether the answer may follow from what could not be read.

        Args:
            unread: By slot, the names of the properties that are known all the same; None where
                not even who it is about is known.
        """
        return any(
            slot in self.slots
            and (known is None or not self.reads.get(slot, frozenset()) <= set(known))
            for slot, known in unread.items()
        ) or (PERSON in unread and any(flag.is_sticky for flag in (self, *self.needs)))


def compile_flag(
    definition: FlagDefinition,
    compiler: Compiler,
    others: Mapping[str, CompiledFlag],
    *,
    is_alone: bool,
) -> CompiledFlag:
    """
    Compile a definition; its rule is total.

    Args:
        others: By key, the flags that it may depend on, compiled.
        is_alone: It names neither cohorts nor other flags.
    """
    answers = answers_of(definition)
    needs, looked_at, is_hashed = Needs(), set[int](), False
    rule, plans = conditions_rule(definition, compiler, answers, needs)
    for plan in plans:
        looked_at.add(plan.slot)
        is_hashed |= plan.is_hashed
    holdout = definition.filters.holdout
    if holdout is not None:
        rule, is_hashing = holdout_rule(holdout, definition, answers, rule, looked_at)
        is_hashed |= is_hashing
    if definition.filters.feature_enrollment:
        rule = enrollment_rule(definition, answers, rule, needs)
    is_sticky = STICKY in looked_at
    if is_sticky:
        rule = sticky_rule(definition.key, rule)
        looked_at.add(PERSON)
    chain = _chain([others[key] for key in sorted(needs.flags)]) if needs.flags else ()
    for each in chain:
        needs.read_all(each.reads)
        needs.is_timed |= each.is_timed
        looked_at |= each.slots
    looked_at.update(needs.names)
    runtime, contexts = _audience(definition)
    return CompiledFlag(
        key=definition.key,
        rule=rule,
        slots=frozenset(looked_at),
        reads=needs.reads,
        is_hashed=is_hashed,
        is_timed=needs.is_timed,
        is_sticky=is_sticky,
        is_alone=is_alone,
        needs=chain,
        answers=answers,
        runtime=runtime,
        contexts=contexts,
    )


def answers_of(definition: FlagDefinition) -> Answers:
    """Make what makes the answers of a flag."""
    if definition.is_remote_configuration:
        kind = Kind.PAYLOAD
    else:
        kind = Kind.VARIANT if definition.variants else Kind.SWITCH
    payloads = definition.filters.payloads
    return Answers(definition.id, definition.key, definition.version, payloads, kind)


def constant(
    key: str, answers: Answers, answer: Evaluation, definition: FlagDefinition | None = None
) -> CompiledFlag:
    """Make a flag that answers the same to everybody who sees it."""
    runtime, contexts = (None, frozenset[str]()) if definition is None else _audience(definition)
    return CompiledFlag(
        key=key,
        rule=lambda _: answer,
        slots=frozenset(),
        reads={},
        answers=answers,
        runtime=runtime,
        contexts=contexts,
    )


def _audience(definition: FlagDefinition) -> tuple[str | None, frozenset[str]]:
    runtime = definition.evaluation_runtime
    return None if runtime == "all" else runtime, frozenset(definition.evaluation_contexts or ())


def disabled(answers: Answers) -> Evaluation:
    """Make the answer of a flag that is not active."""
    return answers.off(Reason.FLAG_DISABLED, None, "Feature flag is disabled")


def unjudged(answers: Answers, description: str) -> Evaluation:
    """Make the answer of a flag that needs what could not be read."""
    return answers.off(Reason.DATABASE_ERROR, None, description, failed=True)


def _chain(flags: Sequence[CompiledFlag]) -> Sequence[CompiledFlag]:
    chain: dict[str, CompiledFlag] = {}
    for flag in flags:
        chain.update((each.key, each) for each in flag.needs)
        chain[flag.key] = flag
    return tuple(chain.values())
