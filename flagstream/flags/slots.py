"""
What a request looks like to a compiled flag: a list with a place for everybody and everything.

The first places hold actors: their properties, and the identifier that is hashed. The others hold
what only some flags look at.
"""

from collections.abc import Callable, Mapping
from typing import Any

from .model import MAX_GROUP_TYPES

Actor = tuple[Mapping[str, Any], bytes]
"""Properties, and the identifier that is hashed."""
Request = list[Any]
"""By slot; None for an actor that the request does not name."""
Check = Callable[[Request], bool]

PERSON, DEVICE, _FIRST_GROUP = 0, 1, 2
STICKY = _FIRST_GROUP + MAX_GROUP_TYPES
"""The person, by the identifier that the flag at hand buckets them by for good."""
ANON = STICKY + 1
"""Bytes of who the person was before being identified, or None."""
HASH_KEYS = ANON + 1
"""By flag key, the bytes that the person is bucketed by for good."""
ALIASES = HASH_KEYS + 1
"""The bytes of all distinct ids of the person but the one that asks."""
NOW = ALIASES + 1
"""The present in Unix milliseconds."""
ANSWERS = NOW + 1
"""By key, the answers of the flags that others depend on."""
COHORTS = ANSWERS + 1
"""Of the cohorts that other cohorts name, those that have been asked; None before the first."""
EMPTY: Request = [None] * STICKY + [None, None, {}, (), 0, {}, None]

NOBODY: Actor = ({}, b"")


def group_slot(group_type_index: int) -> int:
    """Tell where the group of a type stands."""
    return _FIRST_GROUP + group_type_index


def slot_of(group_type_index: int | None) -> int:
    """Tell where a group stands, or for None the person."""
    return PERSON if group_type_index is None else group_slot(group_type_index)
