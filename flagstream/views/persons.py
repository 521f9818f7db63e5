"""Persons, joined from the states of their ids."""

from flagstream.ports import Person
from flagstream.state.identity import Identity, joined_hash_keys, joined_properties


def joined_person(identity: Identity) -> Person:
    """Join a person from what is known of its ids."""
    first = next(identity.states())
    return Person(
        distinct_id=identity.root,
        properties=joined_properties(identity),
        is_identified=first.is_identified,
        recent=first.recent,
        hash_keys=joined_hash_keys(identity),
        distinct_ids=identity.distinct_ids(),
        created_at_ms=min(each.created_at_ms for each in identity.states()),
    )
