"""The keys of the default project: as set, or made once and kept in the data directory."""

import json
import os
import secrets
import tempfile
from hmac import compare_digest
from pathlib import Path

from flagstream.errors import SettingsError
from flagstream.ports import Project
from flagstream.settings import Settings

KEYS_FILE = "keys.json"
_DEFAULT_PROJECT_ID = 1
_SECRET_BYTES = 32


class StaticProjects:
    """Projects that are known at start, as :class:`flagstream.ports.Projects`."""

    def __init__(self, *projects: Project) -> None:
        self._by_token = {project.token: project for project in projects}
        self._by_secret_key = [(project.secret_key.encode(), project) for project in projects]

    def by_token(self, token: str) -> Project | None:
        """Find the project of a public token."""
        return self._by_token.get(token)

    def by_secret_key(self, key: str) -> Project | None:
        """Find the project of a secret key, in a time that does not depend on how much is right."""
        given = key.encode("utf-8", "surrogatepass")
        found = None
        for secret_key, project in self._by_secret_key:
            if compare_digest(secret_key, given):
                found = project
        return found


def default_project(settings: Settings) -> Project:
    """
    Make the default project; keys that the settings leave empty are read from the data directory.

    There they are made at the first call. Processes that start at the same time agree on them.

    Raises:
        SettingsError: The file of keys cannot be read or written.
    """
    token = settings.project_token
    secret_key = settings.secret_key.get_secret_value()
    if not token or not secret_key:
        kept_token, kept_secret_key = _kept_keys(settings.data_dir / KEYS_FILE)
        token = token or kept_token
        secret_key = secret_key or kept_secret_key
    return Project(id=_DEFAULT_PROJECT_ID, token=token, secret_key=secret_key)


def read_secret_key(settings: Settings) -> str:
    """
    Read the secret key without making one.

    Raises:
        SettingsError: Neither the settings nor the data directory hold one.
    """
    return settings.secret_key.get_secret_value() or _read(settings.data_dir / KEYS_FILE)[1]


def _kept_keys(path: Path) -> tuple[str, str]:
    try:
        if not path.exists():
            _make(path)
    except OSError as error:
        raise SettingsError(f"{path}: cannot keep the keys: {error.strerror}") from None
    return _read(path)


def _make(path: Path) -> None:
    """Write the file beside its place and link it there: never half of it, and never a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = {
        "project_token": f"phc_{secrets.token_urlsafe(_SECRET_BYTES)}",
        "secret_key": f"phs_{secrets.token_urlsafe(_SECRET_BYTES)}",
    }
    # A temporary file has mode 0600 from the start.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{KEYS_FILE}-") as file:
        json.dump(keys, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read(path: Path) -> tuple[str, str]:
    try:
        keys = json.loads(path.read_bytes())
        token, secret_key = keys["project_token"], keys["secret_key"]
    except OSError as error:
        raise SettingsError(f"{path}: cannot read the keys: {error.strerror}") from None
    except (ValueError, TypeError, KeyError):
        raise SettingsError(f"{path}: expected JSON with project_token and secret_key") from None
    if not isinstance(token, str) or not isinstance(secret_key, str) or not token or not secret_key:
        raise SettingsError(f"{path}: expected project_token and secret_key to be texts")
    return token, secret_key
