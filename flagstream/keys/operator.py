"""
The operator's key of one run, for commands on the same machine.

Like the cookie of Bitcoin Core: who may read the data directory runs the server anyway, and nothing
that outlives the process is kept in clear.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flagstream.errors import SettingsError
from flagstream.settings import Settings

from .file import written_beside

OPERATOR_FILE = "operator.key"
_SECRET_BYTES = 32


@contextmanager
def operator_key(settings: Settings) -> Iterator[str]:
    """
    Make a key for as long as this lasts, and keep it where commands find it.

    Whoever calls holds the data directory: there is one server at a time.

    Raises:
        SettingsError: The file cannot be written.
    """
    path = settings.data_dir / OPERATOR_FILE
    key = f"phs_operator_{secrets.token_urlsafe(_SECRET_BYTES)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(path, key) as temporary:
            temporary.replace(path)
    except OSError as error:
        raise SettingsError(f"{path}: cannot keep the key: {error.strerror}") from None
    try:
        yield key
    finally:
        with suppress(OSError):
            path.unlink()


def read_secret_key(settings: Settings) -> str:
    """
    Read the key with which a command asks: the one that is set, or the running server's.

    Raises:
        SettingsError: There is neither.
    """
    return settings.secret_key.get_secret_value() or _read(settings.data_dir / OPERATOR_FILE)


def _read(path: Path) -> str:
    try:
        key = path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "expected a key"
        raise SettingsError(
            f"{path}: cannot read the key of a running server: {reason}; give one by --key or "
            "FLAGSTREAM_SECRET_KEY"
        ) from None
    return key
