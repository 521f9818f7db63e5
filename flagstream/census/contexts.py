"""Stored persons as flags are asked about them."""

from collections.abc import Collection, Mapping
from typing import Any

from flagstream.flags import EvaluationContext, person_properties
from flagstream.ports import Person

_NOTHING: Mapping[str, Any] = {}


def of_person(person: Person, names: Collection[str], now_ms: int) -> EvaluationContext:
    """
    Make the context of a person who asks for nothing but flags of persons.

    Args:
        names: The properties that are looked at.
    """
    return EvaluationContext(
        distinct_id=person.distinct_id,
        hash_keys=person.hash_keys,
        distinct_ids=person.distinct_ids,
        person_properties=person_properties(
            person.properties, _NOTHING, person.distinct_id, names, person.created_at_ms
        ),
        now_ms=now_ms,
    )
