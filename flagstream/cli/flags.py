"""``apply``, ``export`` and ``check``: definitions of flags and cohorts in files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from flagstream.state.definitions import Kind

from .changes import changes, exported
from .definitions import DefinitionsError, read_definitions
from .interchange import (
    READERS,
    SKIP_UNSUPPORTED,
    WRITERS,
    add_group_types,
    read_imported,
    report,
    target,
)
from .lints import lints
from .options import client_options, example, make_client

_files = click.argument(
    "files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path)
)


@click.command(epilog=example("flagstream apply config/flags/*.json --dry-run"))
@_files
@click.option("--dry-run", is_flag=True, help="Show the diff and change nothing.")
@click.option(
    "--from",
    "source_format",
    type=click.Choice(list(READERS)),
    help="The format of FILES, where it is not flagstream's own.",
)
@click.option(
    "--group-type",
    "group_types",
    multiple=True,
    metavar="NAME",
    help=(
        "With --from posthog: its group types, in the order of their indexes; may be repeated. "
        "With others: the one whose keys their targeting keys are.  [default: persons]"
    ),
)
@SKIP_UNSUPPORTED
@client_options
def apply(
    files: tuple[Path, ...],
    *,
    dry_run: bool,
    source_format: str | None,
    group_types: tuple[str, ...],
    skip_unsupported: bool,
    **options: Any,
) -> None:
    """
    Make flags and cohorts of a running server equal to their definitions in FILES.

    A file holds one flag, a list of flags, or {"flags": [...], "cohorts": [...]}, as JSON. What
    changes is shown as a diff. Flags and cohorts that no file names stay, and so do members that a
    definition leaves out, but for "filters", which count as a whole. "deleted": true deletes.

    Flags are found by their keys, cohorts by their ids.

    With --from, FILES are translated first. What cannot be is named, and nothing is applied unless
    it is to be skipped.
    """
    added_types: Mapping[str, int] = {}
    if source_format is None:
        definitions, client = read_definitions(files), make_client(**options)
    else:
        client = make_client(**options)
        definitions, imported = read_imported(
            client, source_format, files, group_types=group_types, skips=skip_unsupported
        )
        added_types = imported.group_types
    pending = list(changes(client.flags(), client.cohorts(), definitions))
    for name, index in added_types.items():
        click.echo(f"+ group type {name}, index {index}")
    if not dry_run:
        add_group_types(client, added_types)
    for change in pending:
        click.echo(change.diff())
        if dry_run:
            continue
        if change.id is None:
            client.create(change.kind, change.body)
        else:
            client.update(change.kind, change.id, change.body)
    added = sum(change.id is None for change in pending)
    verb = "to be " if dry_run else ""
    click.echo(
        f"{added} {verb}added, {len(pending) - added} {verb}changed, "
        f"{len(definitions) - len(pending)} unchanged"
    )


@click.command(epilog=example("flagstream export > flags.json"))
@click.option(
    "--to",
    "target_format",
    type=click.Choice(["flagstream", *WRITERS]),
    default="flagstream",
    show_default=True,
    help="The format; `flagstream apply --from` reads it back.",
)
@click.option(
    "--group-type",
    "group_types",
    multiple=True,
    metavar="NAME",
    help="With --to flagd: the type whose keys are the targeting keys.  [default: persons]",
)
@SKIP_UNSUPPORTED
@client_options
def export(
    *,
    target_format: str,
    group_types: tuple[str, ...],
    skip_unsupported: bool,
    **options: Any,
) -> None:
    """Print all flags and cohorts of a running server as JSON that `flagstream apply` takes."""
    client = make_client(**options)
    document = exported(client.flags(), client.cohorts())
    if target_format != "flagstream":
        written = WRITERS[target_format](document, target(client, group_types))
        report(written.refused, written.notes, skips=skip_unsupported)
        document = written.document
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@click.command(epilog=example("flagstream check config/flags/*.json --group-type organization"))
@_files
@click.option(
    "--group-type",
    "group_types",
    multiple=True,
    metavar="NAME",
    help="A group type of the project, in the order of their indexes; may be repeated.",
)
def check(files: tuple[Path, ...], *, group_types: tuple[str, ...]) -> None:
    """
    Check definitions of flags and cohorts in FILES without a server.

    Besides what is malformed it names what nobody wants: conditions that can never match, variants
    that leave somebody out, dependencies on flags that are off, group types that there are not.

    Every problem is a line on stderr with file and JSON path; the exit code is 1 if there is any.
    """
    definitions = read_definitions(files)
    if found := list(lints(definitions, group_types)):
        raise DefinitionsError("\n".join(found))
    kinds = [definition.kind for definition in definitions]
    cohorts = f" and {kinds.count(Kind.COHORT)} cohorts" if Kind.COHORT in kinds else ""
    click.echo(f"{kinds.count(Kind.FLAG)} flags{cohorts} in {len(files)} files are well-formed")
