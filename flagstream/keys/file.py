"""The public token of the first project: as set, or made once and kept in the data directory."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from flagstream.errors import SettingsError
from flagstream.settings import Settings

from .secrets import new_token

KEYS_FILE = "keys.json"
_TOKEN, _SECRET_KEY = "project_token", "secret_key"


class KeptSecret(NamedTuple):
    """A secret key that a version of before has kept in clear."""

    secret: str
    path: Path

    def remove(self) -> None:
        """
        Take it out of the file, for good once this returns.

        Raises:
            SettingsError: The file cannot be written.
        """
        try:
            with written_beside(self.path, _document(_read(self.path)[_TOKEN])) as temporary:
                temporary.replace(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise SettingsError(f"{self.path}: cannot keep the keys: {error.strerror}") from None


def project_token(settings: Settings) -> str:
    """
    Read the public token of the first project; one that is not set is made at the first call.

    Processes that start at the same time agree on it.

    Raises:
        SettingsError: The file of keys cannot be read or written.
    """
    if settings.project_token:
        return settings.project_token
    path = settings.data_dir / KEYS_FILE
    try:
        if not path.exists():
            _make(path)
    except OSError as error:
        raise SettingsError(f"{path}: cannot keep the keys: {error.strerror}") from None
    return _read(path)[_TOKEN]


def kept_secret(settings: Settings) -> KeptSecret | None:
    """
    Read the secret key that a version of before has kept in the data directory; None for none.

    Raises:
        SettingsError: The file of keys cannot be read.
    """
    path = settings.data_dir / KEYS_FILE
    if not path.exists():
        return None
    secret = _read(path).get(_SECRET_KEY)
    return KeptSecret(secret, path) if secret else None


def _document(token: str) -> str:
    return json.dumps({_TOKEN: token}, indent=2)


def _make(path: Path) -> None:
    """Write the file beside its place and link it there: never half of it, and never a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path, _document(new_token())) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    sync_directory(path.parent)


@contextmanager
def written_beside(path: Path, text: str) -> Iterator[Path]:
    """Write a file whole, for whoever calls to put it in its place; nobody else may read it."""
    # A temporary file has mode 0600 from the start.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        # Gone already where it was renamed.
        with suppress(FileNotFoundError):
            temporary.unlink()


def sync_directory(path: Path) -> None:
    """Let the names of files in a directory outlive a loss of power."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read(path: Path) -> Mapping[str, str]:
    """Read the file; its members are texts, and the token is there."""
    try:
        kept = json.loads(path.read_bytes())
        keys = {name: kept[name] for name in (_TOKEN, _SECRET_KEY) if name in kept}
    except OSError as error:
        raise SettingsError(f"{path}: cannot read the keys: {error.strerror}") from None
    except (ValueError, TypeError):
        raise SettingsError(f"{path}: expected JSON with {_TOKEN}") from None
    if not keys.get(_TOKEN) or not all(isinstance(key, str) for key in keys.values()):
        raise SettingsError(f"{path}: expected {_TOKEN} to be a text")
    return keys
