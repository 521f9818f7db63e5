"""Definitions of elsewhere, brought to a server and taken from it."""

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from flagstream.errors import FlagstreamError
from flagstream.interchange import (
    Exported,
    Imported,
    Refusal,
    Source,
    Target,
    read_flagd,
    read_goff,
    read_posthog,
    write_flagd,
    write_posthog,
)
from flagstream.state.definitions import Kind

from .client import Client, ServerError
from .definitions import Definition, checked_definitions, read_file

READERS: Mapping[str, Callable[[Sequence[Source], Target], Imported]] = {
    "posthog": read_posthog,
    "flagd": read_flagd,
    "goff": read_goff,
}
WRITERS: Mapping[str, Callable[[Mapping[str, Any], Target], Exported]] = {
    "posthog": write_posthog,
    "flagd": write_flagd,
}
SKIP_UNSUPPORTED = click.option(
    "--skip-unsupported", is_flag=True, help="Leave out what cannot be translated, and list it."
)


class UnsupportedError(FlagstreamError):
    """Definitions say what the other format cannot; every such thing is a line."""


def read_imported(
    client: Client,
    source_format: str,
    files: Iterable[Path],
    *,
    group_types: Sequence[str],
    skips: bool,
) -> tuple[Sequence[Definition], Imported]:
    """
    Read definitions in another format, translated for a server's project.

    Raises:
        DefinitionsError: A file cannot be read.
        UnsupportedError: Something cannot be translated, unless that *skips* it.
    """
    sources = [Source(name=str(file), document=_document(file)) for file in files]
    imported = READERS[source_format](sources, target(client, group_types))
    report(imported.refused, imported.notes, skips=skips)
    kinds = {Kind.FLAG: imported.flags, Kind.COHORT: imported.cohorts}
    definitions = [
        Definition(kind=kind, place=each.place, body=each.body)
        for kind, translated in kinds.items()
        for each in translated
    ]
    return checked_definitions(definitions), imported


def _document(file: Path) -> Any:
    """Read a file by what its name ends with: YAML, TOML, or else JSON."""
    return read_file(file, *_DECODERS.get(file.suffix.lower(), ("JSON", json.loads)))


def _yaml(raw: bytes) -> Any:
    # Takes a while to import, which the other commands do not need to wait for.
    from ruamel.yaml import YAML  # noqa: PLC0415
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        return YAML(typ="safe", pure=True).load(raw)
    except YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


_DECODERS: Mapping[str, tuple[str, Callable[[bytes], Any]]] = {
    ".yaml": ("YAML", _yaml),
    ".yml": ("YAML", _yaml),
    ".toml": ("TOML", lambda raw: tomllib.loads(raw.decode())),
}


def target(client: Client, group_types: Sequence[str] = ()) -> Target:
    """Read what a server's project has."""
    project = client.project()
    return Target(
        group_types=client.group_types(),
        flag_keys={row["key"] for row in client.flags()},
        cohort_ids={row["id"] for row in client.cohorts()},
        timezone=project["timezone"],
        property_matching_version=project["property_matching_version"],
        named_types=group_types,
        now=datetime.now(UTC),
    )


def add_group_types(client: Client, group_types: Mapping[str, int]) -> None:
    """
    Add group types that translated definitions count on.

    Raises:
        ServerError: One got another index than was counted on, as others came first.
    """
    for name, index in group_types.items():
        got = client.add_group_type(name)
        if got != index:
            raise ServerError(
                f"The group type {name} got the index {got} instead of {index}, as others were "
                "first: import again. No definition was changed."
            )


def report(refused: Sequence[Refusal], notes: Iterable[str], *, skips: bool) -> None:
    """
    Say on stderr what is left out, and what is worth knowing.

    Raises:
        UnsupportedError: Something would be left out and *skips* is not given.
    """
    if refused and not skips:
        raise UnsupportedError("\n".join(map(str, refused)))
    for each in refused:
        click.echo(f"skipped: {each}", err=True)
    for note in notes:
        click.echo(f"note: {note}", err=True)
