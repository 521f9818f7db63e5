"""
What tokens and keys look like.

A secret key is ``phs_<id>_<secret>``, where the id is ``<project>-<16 letters and digits>``: what
is known of a key is found without its secret, and SDKs see the prefix that they know.
"""

import hashlib
import re
import secrets
import string
from typing import NamedTuple

_SECRET_BYTES = 32
_ID_CHARS = 16
_ALPHABET = string.ascii_lowercase + string.digits
_KEY = re.compile(rf"phs_(([1-9]\d{{0,9}})-[a-z0-9]{{{_ID_CHARS}}})_")
_SHOWN_CHARS = 4
_LONG_CHARS = 20


class NewSecret(NamedTuple):
    """A secret key that was just made: its id, and the whole of it."""

    id: str
    secret: str


class KeyId(NamedTuple):
    """The id of a key, and the project that it names."""

    project_id: int
    id: str


def new_secret(project_id: int) -> NewSecret:
    """Make a secret key."""
    name = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARS))
    key_id = f"{project_id}-{name}"
    return NewSecret(key_id, f"phs_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}")


def new_token() -> str:
    """Make a public token."""
    return f"phc_{secrets.token_urlsafe(_SECRET_BYTES)}"


def id_of(secret: str, first_project_id: int) -> KeyId:
    """Read the id of what is presented as a key; what has none is from before there were ids."""
    named = _KEY.match(secret)
    if named is None:
        return KeyId(first_project_id, legacy_id(secret, first_project_id))
    return KeyId(int(named[2]), named[1])


def legacy_id(secret: str, project_id: int) -> str:
    """Give an id to a key that has none: part of a digest, from which nobody comes back to it."""
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{project_id}-{digest[:_ID_CHARS]}"


def shown_end(secret: str) -> str:
    """Take as much of a key as its holder knows it by, and nobody else learns it from."""
    # Of a short one its end would be too much.
    return secret[-_SHOWN_CHARS:] if len(secret) >= _LONG_CHARS else ""


def masked(key: str) -> str:
    """Write a secret key so that who has it knows it again, and nobody else learns it."""
    end = shown_end(key)
    return f"…{end}" if end else "the secret key"
