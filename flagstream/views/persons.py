"""Persons, joined from the states of their ids."""

from flagstream.ports import Person
from flagstream.state.identity import Identity, joined_hash_keys, joined_properties


def joined_person(identity: Identity) -> Person:
    """Join a person from what is known of its ids."""
    states = dict(identity.states())
    root_state = next(iter(states.values()))
    distinct_ids = tuple(dict.fromkeys((identity.root, *states)))
    return Person(
        distinct_id=identity.root,
        properties=joined_properties(identity),
        is_identified=root_state.is_identified,
        recent=root_state.recent,
        hash_keys=joined_hash_keys(identity),
        distinct_ids=distinct_ids,
        created_at_ms=min(each.created_at_ms for each in states.values()),
    )
