"""``preview``: what definitions in files would do to whom."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from flagstream.census.preview import LISTS
from flagstream.state.definitions import Kind

from .changes import Change, changes
from .client import Client
from .definitions import read_definitions
from .options import client_options, example, make_client

_NAMES = 10


@click.command(epilog=example("flagstream preview config/flags/new-billing.json"))
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "--list",
    "list_name",
    type=click.Choice(LISTS),
    help="Print all names of this list, one a line, with what they get now and then.",
)
@click.option("--json", "is_json", is_flag=True, help="Print all that the server says.")
@client_options
def preview(
    files: tuple[Path, ...], *, list_name: str | None, is_json: bool, **options: Any
) -> None:
    """
    Tell what `flagstream apply FILES` would do, flag by flag, to all stored groups or persons.

    Counted are those whom a flag is on for now and then, who joins, who leaves, who stays, and who
    of these moves to another variant. Cohorts are taken as they are on the server.
    """
    client = make_client(**options)
    pending = list(changes(client.flags(), client.cohorts(), read_definitions(files)))
    flags = [change for change in pending if change.kind is Kind.FLAG]
    for change in flags:
        for line in _lines(client, change, list_name, is_json=is_json):
            click.echo(line)
    if not flags:
        click.echo("no flag would be changed")


def _lines(
    client: Client, change: Change, list_name: str | None, *, is_json: bool
) -> Iterator[str]:
    body = {**change.body, "key": change.after.get("key", change.before.get("key"))}
    if list_name is not None:
        for each in client.preview_names(body, list_name):
            yield f"{each['name']}\t{json.dumps(each['now'])}\t{json.dumps(each['then'])}"
        return
    found = client.preview({**body, "limit": _NAMES})
    if is_json:
        yield json.dumps(found, indent=2, ensure_ascii=False)
    else:
        yield from _table(body["key"], found)


def _table(key: str, found: Mapping[str, Any]) -> Iterator[str]:
    whom = f"groups of type {found['group_type']}" if found["group_type"] else "persons"
    bound = "" if found["is_complete"] else "; time was up, there are others"
    yield f"{key}, over {found['examined']} {whom}{bound}"
    for when in ("now", "then"):
        yield f"  {when:<6}{_tally(found[when])}"
    for name in LISTS:
        yield f"  {name:<6}{_names(found[name])}"


def _tally(tally: Mapping[str, Any]) -> str:
    variants = ", ".join(f"{key} {count}" for key, count in sorted(tally["variants"].items()))
    failed = f", {tally['failed']} cannot be judged" if tally["failed"] else ""
    return f"{tally['on']} on{f' ({variants})' if variants else ''}, {tally['off']} off{failed}"


def _names(names: Mapping[str, Any]) -> str:
    if not names["results"]:
        return str(names["count"])
    more = ", …" if names["count"] > len(names["results"]) else ""
    return f"{names['count']}: {', '.join(each['name'] for each in names['results'])}{more}"
