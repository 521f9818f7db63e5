"""
Projects and the secret keys to them, as definitions hold them.

What several nodes might change at once is kept apart, so that no write takes back another: a key is
written once, its revocation beside it, and its use beside both.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import Any, Self

import msgspec

from .definitions import Kind
from .records import Record

FIRST_PROJECT_ID = 1
"""The project that the settings give; all others are made over the API."""
ACCESS_KINDS = frozenset([Kind.TENANT, Kind.KEY, Kind.KEY_REVOCATION, Kind.KEY_USE])
"""Of definitions that nothing is compiled from."""


class Scope(StrEnum):
    """What a secret key lets its holder do."""

    FLAGS_READ = "flags:read"
    FLAGS_WRITE = "flags:write"
    GROUPS_READ = "groups:read"
    GROUPS_WRITE = "groups:write"
    EVENTS_READ = "events:read"
    PROJECT_ADMIN = "project:admin"


_IMPLIED = {
    Scope.FLAGS_WRITE: frozenset([Scope.FLAGS_READ]),
    Scope.GROUPS_WRITE: frozenset([Scope.GROUPS_READ]),
    Scope.PROJECT_ADMIN: frozenset(Scope),
}


def allowed(scopes: Collection[str]) -> frozenset[Scope]:
    """Read what *scopes* allow, those that they imply included; unknown ones allow nothing."""
    known = frozenset(scope for scope in Scope if scope in scopes)
    return known.union(*(_IMPLIED.get(scope, ()) for scope in known))


class _Body(Record, frozen=True):
    """Base of what a definition holds."""

    def to_body(self) -> dict[str, Any]:
        """Write it as a definition does."""
        body: dict[str, Any] = msgspec.to_builtins(self)
        return body

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> Self:
        """
        Read it, and check.

        Raises:
            msgspec.ValidationError: Naming the member and what was expected.
        """
        return msgspec.convert(body, cls)


class OldToken(Record, frozen=True):
    """A public token that another one has replaced, and when it stops to be taken."""

    token: str
    ends_at_ms: int


class Tenant(_Body, frozen=True):
    """
    A project that was made over the API; its settings are a definition of their own.

    Attributes:
        is_archived: Neither its tokens nor its keys are taken.
    """

    token: str
    created_at_ms: int
    created_by: str
    old_tokens: list[OldToken] = []
    is_archived: bool = False


class Replaced(Record, frozen=True):
    """The key that another one is the successor of, and when it ends for that."""

    id: str
    ends_at_ms: int


class Key(_Body, frozen=True):
    """
    A secret key; written once.

    Attributes:
        scopes: As given; :func:`allowed` says what follows.
        hash: By argon2id, of the whole key.
        end: The last characters of the key, by which its holder knows it.
        expires_at_ms: None for never.
        replaces: A rotation is one record, so that it never happens by half.
    """

    label: str
    scopes: list[str]
    hash: str
    end: str
    created_at_ms: int
    created_by: str
    expires_at_ms: int | None = None
    replaces: Replaced | None = None


class Revocation(_Body, frozen=True):
    """The end of a key; nothing takes it back."""

    revoked_at_ms: int
    revoked_by: str


class KeyUse(_Body, frozen=True):
    """When a key was used last, to the hour."""

    used_at_ms: int
