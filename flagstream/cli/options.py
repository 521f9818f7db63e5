"""Options that several commands share, and what is made of them."""

import os
import tomllib
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from flagstream.banner import admin_url
from flagstream.errors import SettingsError
from flagstream.keys import read_secret_key
from flagstream.settings import Settings, load_settings

from .client import Client

_Command = Callable[..., None]
_Option = Callable[[_Command], _Command]


def example(*commands: str) -> str:
    """Write the end of a command's help."""
    # A line with a backspace keeps click from filling the lines after it.
    return "\n".join(["\b", "Example:", *(f"  {command}" for command in commands)])


def _together(*options: _Option) -> _Option:
    return lambda command: reduce(lambda decorated, add: add(decorated), reversed(options), command)


storage_options = _together(
    click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File of settings, like config/flagstream.toml.",
    ),
    click.option(
        "--data",
        "data_dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Directory of the log, the tables and the keys.  [default: data]",
    ),
)
broker_option = click.option(
    "--broker",
    "broker_url",
    help="kafka://HOST:PORT[;kafka://HOST:PORT…] instead of the embedded log.",
)
listen_options = _together(
    click.option("--host", help="Address to listen on.  [default: 127.0.0.1]"),
    click.option("--port", type=int, help="Port to listen on, 0 for any.  [default: 8080]"),
)
client_options = _together(
    storage_options,
    click.option("--url", help="Address of the server.  [default: as set for the server]"),
    click.option(
        "--key",
        "secret_key",
        help="Secret key.  [default: $FLAGSTREAM_SECRET_KEY, or that of the server that runs here]",
    ),
    click.option(
        "--project",
        type=click.IntRange(min=1),
        help="Number of the project.  [default: that of the key]",
    ),
)


def read_settings(config: Path | None, **options: Any) -> Settings:
    """
    Merge the file *config*, the environment and the options that were given.

    Raises:
        SettingsError: Naming the setting, or the file that cannot be read.
    """
    given = {name: value for name, value in options.items() if value is not None}
    return load_settings(_read_file(config) if config else {}, os.environ, given)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from None


def make_client(
    config: Path | None, *, url: str | None, project: int | None = None, **options: Any
) -> Client:
    """
    Make a client of the server at *url*, or of the one that the settings describe.

    Raises:
        SettingsError: A setting is wrong, or there is no secret key.
    """
    settings = read_settings(config, **options)
    return Client(url or admin_url(settings, settings.port), read_secret_key(settings), project)
