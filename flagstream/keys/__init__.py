"""Public tokens and secret keys: made, kept, hashed and known again."""

from .file import KEYS_FILE, KeptSecret, kept_secret, project_token, sync_directory
from .hashing import Hasher
from .operator import OPERATOR_FILE, operator_key, read_secret_key
from .ring import KeyRing
from .secrets import NewSecret, legacy_id, masked, new_secret, new_token, shown_end

__all__ = [
    "KEYS_FILE",
    "OPERATOR_FILE",
    "Hasher",
    "KeptSecret",
    "KeyRing",
    "NewSecret",
    "kept_secret",
    "legacy_id",
    "masked",
    "new_secret",
    "new_token",
    "operator_key",
    "project_token",
    "read_secret_key",
    "shown_end",
    "sync_directory",
]
