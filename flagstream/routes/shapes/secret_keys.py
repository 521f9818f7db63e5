"""Secret keys of a project."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from flagstream.management.access_bodies import DEFAULT_OVERLAP_S, MAX_OVERLAP_S
from flagstream.openapi import Body
from flagstream.state.access import Scope

from .common import Name, Page, Time


class Key(Struct, kw_only=True):
    """
    A secret key.

    Attributes:
        value: What may be known of it: its id and its last characters.
        created_by: Of the key that it was made with.
        expires_at: Null for never.
        last_used_at: To the hour; null for never.
    """

    id: str
    label: str
    scopes: list[str]
    status: Literal["active", "expired", "revoked"]
    value: str
    created_at: Time
    created_by: str
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None


class Keys(Page[Key]):
    """A page of keys."""


class NewKey(Key, kw_only=True):
    """
    A key that was just made.

    Attributes:
        secret: The whole key, which nobody can read again.
    """

    secret: str


class WantedKey(Struct, kw_only=True, forbid_unknown_fields=True):
    """
    A key to be made.

    Attributes:
        label: What it is for.
        expires_at: In the future; null, or left out, for never.
    """

    label: Name
    scopes: Annotated[list[Scope], Meta(min_length=1)]
    expires_at: Time | UnsetType | None = UNSET


class Overlap(Struct, kw_only=True, forbid_unknown_fields=True):
    """
    How long the old one is still taken.

    Attributes:
        overlap_s: Seconds.
    """

    overlap_s: Annotated[float, Meta(ge=0, le=MAX_OVERLAP_S)] = DEFAULT_OVERLAP_S


WANTED_KEY = Body(
    WantedKey, example={"label": "deployment", "scopes": [Scope.FLAGS_READ, Scope.FLAGS_WRITE]}
)
