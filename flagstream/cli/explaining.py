"""``explain``: why a flag answers as it does."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import click

from flagstream.errors import SettingsError, quote

from .explanations import lines
from .options import client_options, example, make_client


@click.command(
    epilog=example("flagstream explain new-billing --distinct-id user-1 --group organization=acme")
)
@click.argument("key")
@click.option("--distinct-id", required=True, help="Of whom.")
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="TYPE=KEY",
    help="A group that the user acts for; may be repeated.",
)
@click.option(
    "--person-property",
    "person_properties",
    multiple=True,
    metavar="NAME=VALUE",
    help="Goes before the stored one; JSON, or else text. May be repeated.",
)
@click.option(
    "--group-property",
    "group_properties",
    multiple=True,
    metavar="TYPE.NAME=VALUE",
    help="Likewise, of a group.",
)
@click.option(
    "--as-of",
    metavar="TIME",
    help="As it was then: ISO 8601, or relative to now as -7d.",
)
@click.option("--json", "is_json", is_flag=True, help="Print all that the server says.")
@client_options
def explain(  # noqa: PLR0913 -- all that may be said of who asks, and when
    key: str,
    *,
    distinct_id: str,
    groups: tuple[str, ...],
    person_properties: tuple[str, ...],
    group_properties: tuple[str, ...],
    as_of: str | None,
    is_json: bool,
    **options: Any,
) -> None:
    """
    Explain what the flag KEY answers to a user, and why.

    Each condition is shown with what its filters wanted and saw, where that came from, and where
    the hash puts whoever is bucketed.
    """
    body = {
        "flag_key": key,
        "distinct_id": distinct_id,
        "groups": dict(_pair("--group", each) for each in groups),
        "person_properties": _values("--person-property", person_properties),
        "group_properties": _by_type(_values("--group-property", group_properties)),
        "as_of": as_of,
    }
    explanation = make_client(**options).explain(body)
    if is_json:
        click.echo(json.dumps(explanation, indent=2, ensure_ascii=False))
        return
    for line in lines(explanation):
        click.echo(line)


def _pair(option: str, text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name or not value:
        raise SettingsError(f"{option}: expected NAME=VALUE, got {quote(text)}")
    return name, value


def _values(option: str, texts: Iterable[str]) -> Mapping[str, Any]:
    return {name: _json_or_text(value) for name, value in (_pair(option, each) for each in texts)}


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _by_type(values: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    properties: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        group_type, dot, name = path.partition(".")
        if not dot or not name:
            raise SettingsError(f"--group-property: expected TYPE.NAME=VALUE, got {quote(path)}")
        properties.setdefault(group_type, {})[name] = value
    return properties
