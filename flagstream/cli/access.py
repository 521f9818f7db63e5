"""``keys`` and ``projects``: who may ask a running server, and for what."""

from typing import Any

import click

from flagstream.state.access import Scope

from .options import client_options, example, make_client

_overlap_option = click.option(
    "--overlap-s",
    type=click.FloatRange(min=0),
    default=3600.0,
    show_default=True,
    help="For how many seconds the old one is still taken.",
)
_id_argument = click.argument("key_id", metavar="ID")
_NEVER = "-"


@click.group(epilog=example("flagstream keys list"))
def keys() -> None:
    """Look after the secret keys of a project."""


@keys.command(
    "create",
    epilog=example(
        "flagstream keys create --label deployment --scope flags:write",
        "flagstream keys create --label backend --scope flags:read --project 2",
    ),
)
@click.option("--label", required=True, help="What it is for.")
@click.option(
    "--scope",
    "scopes",
    required=True,
    multiple=True,
    type=click.Choice(list(map(str, Scope))),
    help="What it allows; may be repeated.",
)
@click.option("--expires-at", metavar="TIME", help="ISO 8601.  [default: never]")
@client_options
def create_key(
    label: str, scopes: tuple[str, ...], *, expires_at: str | None, **options: Any
) -> None:
    """
    Make a secret key, and print it.

    It is printed this one time: the server keeps a hash of it, from which nobody reads it again.
    """
    body = {"label": label, "scopes": scopes, "expires_at": expires_at}
    click.echo(make_client(**options).create_key(body)["secret"])


@keys.command("list", epilog=example("flagstream keys list --project 2"))
@client_options
def list_keys(**options: Any) -> None:
    """Print the keys, one a line: id, status, label, scopes, end, last use to the hour."""
    for key in make_client(**options).secret_keys():
        times = (key["expires_at"] or _NEVER, key["last_used_at"] or _NEVER)
        scopes = ",".join(key["scopes"])
        click.echo("\t".join([key["id"], key["status"], key["label"], scopes, *times]))


@keys.command("revoke", epilog=example("flagstream keys revoke 1-7f3k9d2m5q8w1x4z"))
@_id_argument
@client_options
def revoke_key(key_id: str, **options: Any) -> None:
    """End the key ID at once and for good."""
    make_client(**options).revoke_key(key_id)
    click.echo(f"{key_id} is revoked")


@keys.command(
    "rotate", epilog=example("flagstream keys rotate 1-7f3k9d2m5q8w1x4z --overlap-s 86400")
)
@_id_argument
@_overlap_option
@client_options
def rotate_key(key_id: str, *, overlap_s: float, **options: Any) -> None:
    """Make a key like the key ID, which ends after a while, and print it; as `keys create`."""
    click.echo(make_client(**options).rotate_key(key_id, overlap_s)["secret"])


@click.group(epilog=example("flagstream projects list"))
def projects() -> None:
    """Look after the projects of a server, with the operator's key."""


@projects.command("create", epilog=example("flagstream projects create Staging"))
@click.argument("name")
@client_options
def create_project(name: str, **options: Any) -> None:
    """Add a project called NAME, and print its number and its public token."""
    made = make_client(**options).create_project({"name": name})
    click.echo(f"{made['id']}\t{made['api_token']}")


@projects.command("list", epilog=example("flagstream projects list"))
@client_options
def list_projects(**options: Any) -> None:
    """Print the projects, one a line: number, status, name, public token."""
    for project in make_client(**options).projects():
        status = "archived" if project["is_archived"] else "active"
        line = [str(project["id"]), status, project["name"], project["api_token"]]
        click.echo("\t".join(line))


@projects.command("archive", epilog=example("flagstream projects archive 2"))
@click.argument("project_id", metavar="NUMBER", type=int)
@click.option("--undo", is_flag=True, help="Take its tokens and keys again.")
@client_options
def archive_project(project_id: int, *, undo: bool, **options: Any) -> None:
    """Refuse the tokens and keys of the project NUMBER; nothing of it is deleted."""
    make_client(**options).archive_project(project_id, is_archived=not undo)
    click.echo(f"{project_id} is {'active' if undo else 'archived'}")


@projects.command(
    "rotate-token", epilog=example("flagstream projects rotate-token --project 2 --overlap-s 86400")
)
@_overlap_option
@client_options
def rotate_token(*, overlap_s: float, **options: Any) -> None:
    """Give the project another public token, and print it; the old one is taken for a while."""
    click.echo(make_client(**options).rotate_token(overlap_s)["api_token"])
