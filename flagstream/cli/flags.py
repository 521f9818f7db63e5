"""``apply``, ``export`` and ``check``: definitions of flags in files."""

import json
from pathlib import Path
from typing import Any

import click

from .definitions import changes, defining, read_definitions
from .options import client_options, example, make_client

_files = click.argument(
    "files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path)
)


@click.command(epilog=example("flagstream apply config/flags/*.json --dry-run"))
@_files
@click.option("--dry-run", is_flag=True, help="Show the diff and change nothing.")
@client_options
def apply(files: tuple[Path, ...], *, dry_run: bool, **options: Any) -> None:
    """
    Make flags of a running server equal to their definitions in FILES.

    A file holds one flag, a list of flags, or {"flags": [...]}, as JSON. What changes is shown as
    a diff. Flags that no file names stay, and so do members that a definition leaves out, but for
    "filters", which count as a whole. "deleted": true deletes a flag.
    """
    definitions = read_definitions(files)
    client = make_client(**options)
    pending = list(changes(client.flags(), definitions))
    for change in pending:
        click.echo(change.diff())
        if dry_run:
            continue
        if change.flag_id is None:
            client.create_flag(change.body)
        else:
            client.update_flag(change.flag_id, change.body)
    added = sum(change.flag_id is None for change in pending)
    verb = "to be " if dry_run else ""
    click.echo(
        f"{added} {verb}added, {len(pending) - added} {verb}changed, "
        f"{len(definitions) - len(pending)} unchanged"
    )


@click.command(epilog=example("flagstream export > flags.json"))
@client_options
def export(**options: Any) -> None:
    """Print all flags of a running server as JSON that `flagstream apply` takes."""
    rows = sorted(make_client(**options).flags(), key=lambda row: row["key"])
    document = {"flags": list(map(defining, rows))}
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@click.command(epilog=example("flagstream check config/flags/*.json"))
@_files
def check(files: tuple[Path, ...]) -> None:
    """
    Check definitions of flags in FILES without a server.

    Every problem is a line on stderr with file and JSON path; the exit code is 1 if there is any.
    """
    count = len(read_definitions(files))
    click.echo(f"{count} flags in {len(files)} files are well-formed")
