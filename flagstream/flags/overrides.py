"""What goes before the conditions of a flag: a person's own choice, a holdout, and continuity."""

from collections.abc import Callable

from . import bucketing
from .checks import Needs
from .conditions import Rule
from .evaluation import Answers, Evaluation, Reason
from .model import FlagDefinition, Holdout
from .slots import ANON, DEVICE, HASH_KEYS, NOBODY, PERSON, STICKY, Request, slot_of

ENROLLMENT = "$feature_enrollment/"


def sticky_rule(key: str, rule: Rule) -> Rule:
    """Ask for the person by the identifier of this flag."""

    def sticky(request: Request) -> Evaluation:
        return rule(sticky_request(key, request))

    return sticky


def sticky_request(key: str, request: Request) -> Request:
    """Put the person where a flag finds them that buckets them for good."""
    properties, distinct_id = request[PERSON]
    own = [*request]
    own[STICKY] = (properties, request[HASH_KEYS].get(key) or request[ANON] or distinct_id)
    return own


def enrollment_property(definition: FlagDefinition) -> str:
    """Name the property that holds the person's choice."""
    return ENROLLMENT + definition.key


def enrollment_rule(definition: FlagDefinition, answers: Answers, rule: Rule, needs: Needs) -> Rule:
    """Let the person's own choice go before everything else, also where the flag is of groups."""
    name = enrollment_property(definition)
    needs.read(PERSON, name)
    reason, description = Reason.SUPER_CONDITION_VALUE, "Super condition value"
    enrolled = answers.on(reason, 0, description)
    declined = answers.off(reason, 0, description)

    def enroll(request: Request) -> Evaluation:
        properties = request[PERSON][0]
        if name not in properties:
            return rule(request)
        chosen = properties[name]
        return enrolled if chosen is True or chosen == "true" else declined

    return enroll


def holdout_rule(
    holdout: Holdout,
    definition: FlagDefinition,
    answers: Answers,
    rule: Rule,
    looked_at: set[int],
) -> tuple[Rule, bool]:
    """Hold out before any condition; whom is decided by what the flag as a whole is about."""
    is_held_out = bucketing.holdout(definition.bucketing, holdout.exclusion_percentage)
    held_out = answers.on(
        Reason.HOLDOUT_CONDITION_VALUE, None, "Holdout condition value", f"holdout-{holdout.id}"
    )
    if is_held_out is None:
        return (lambda _: held_out), False
    looked_at.add(slot_of(definition.filters.aggregation_group_type_index))
    identify = holdout_identifier(definition)

    def hold_out(request: Request) -> Evaluation:
        return held_out if is_held_out(identify(request)) else rule(request)

    return hold_out, True


def holdout_identifier(definition: FlagDefinition) -> Callable[[Request], bytes]:
    """Make what finds the identifier by which a flag's holdout holds out."""
    slot = slot_of(definition.filters.aggregation_group_type_index)
    is_by_device = slot == PERSON and definition.bucketing_identifier == "device_id"
    is_sticky = slot == PERSON and bool(definition.ensure_experience_continuity)

    def identify(request: Request) -> bytes:
        identifier: bytes = (request[slot] or NOBODY)[1]
        if is_by_device and request[DEVICE] is not None:
            identifier = request[DEVICE][1]
        elif is_sticky:
            # Never by what is stored: that is of one flag, and a holdout is of many.
            identifier = request[ANON] or identifier
        return identifier

    return identify
