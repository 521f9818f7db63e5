"""``schedule``: changes of flags that are to come."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import click

from flagstream.errors import FlagstreamError

from .client import Client, Document
from .options import client_options, example, make_client

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]+)([smhdw])")
_key = click.argument("key")
_schedule_id = click.argument("schedule_id", required=False)


class ScheduleError(FlagstreamError):
    """What is asked for cannot be planned, or does not say which schedule is meant."""


class _Duration(click.ParamType):
    """A number of seconds, minutes, hours, days or weeks."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a text as seconds."""
        found = _DURATION.fullmatch(str(value))
        if found is None:
            self.fail(f"expected a number with s, m, h, d or w behind it, got {value}", param, ctx)
        return int(found[1]) * _UNITS_S[found[2]]


class _Step(click.ParamType):
    """A percentage, and from when on."""

    name = "step"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Mapping[str, Any]:
        """Read ``PERCENT@TIME``, where no time is now."""
        percentage, _, time = str(value).partition("@")
        try:
            return {"scheduled_at": time or None, "rollout_percentage": float(percentage)}
        except ValueError:
            self.fail(f"expected PERCENT@TIME, got {value}", param, ctx)


@click.group(epilog=example("flagstream schedule list"))
def schedule() -> None:
    """Plan changes of flags, or rollouts that widen in steps."""


@schedule.command(
    epilog=example(
        "flagstream schedule add new-billing --from 10 --to 100 --steps 4 --over 3d",
        "flagstream schedule add new-billing --step 10 --step 100@2027-01-08T09:00:00+01:00",
        "flagstream schedule add new-billing --at 2027-01-08T09:00Z --change '{\"active\": true}'",
    )
)
@_key
@click.option("--at", help="When, in ISO 8601: the change or the first step.  [default: now]")
@click.option("--change", help="Members of the flag, as JSON.")
@click.option(
    "--step",
    "listed",
    type=_Step(),
    multiple=True,
    metavar="PERCENT[@TIME]",
    help="A rollout, and from when on; to be repeated.",
)
@click.option("--from", "first", type=float, metavar="PERCENT", help="The first rollout.")
@click.option("--to", "last", type=float, metavar="PERCENT", help="The last rollout.")
@click.option("--steps", "count", type=int, help="How many from the first to the last.")
@click.option("--over", type=_Duration(), help="From the first to the last: 90s, 30m, 12h, 3d, 2w.")
@click.option(
    "--condition",
    "conditions",
    type=int,
    multiple=True,
    metavar="INDEX",
    help="Of those whose rollouts widen, from 0; may be repeated.  [default: all]",
)
@client_options
def add(key: str, **options: Any) -> None:
    """Plan a change of the flag KEY."""
    names = ("at", "change", "listed", "first", "last", "count", "over", "conditions")
    asked = {name: options.pop(name) for name in names}
    planned = make_client(**options).add_schedule(key, _body(asked))
    click.echo("\n".join(_lines(planned)))


def _body(asked: Mapping[str, Any]) -> Document:
    evenly = {
        "from": asked["first"],
        "to": asked["last"],
        "steps": asked["count"],
        "duration_s": asked["over"],
    }
    evenly = {name: value for name, value in evenly.items() if value is not None}
    body: Document = {}
    if asked["change"] is not None:
        body |= {"scheduled_at": asked["at"], "change": _change(asked["change"])}
    if asked["listed"]:
        body |= {"steps": list(asked["listed"])}
    if evenly:
        body |= {"progressive": {**evenly, "starts_at": asked["at"]}}
    if asked["conditions"]:
        body |= {"conditions": list(asked["conditions"])}
    return body


def _change(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ScheduleError(f"--change: not JSON: {error}") from None


@schedule.command("list", epilog=example("flagstream schedule list new-billing"))
@click.argument("key", required=False)
@client_options
def list_schedules(key: str | None, **options: Any) -> None:
    """Print what is to come, of the flag KEY also what came or was ended."""
    for each in make_client(**options).schedules(key):
        click.echo("\n".join(_lines(each)))


@schedule.command(epilog=example("flagstream schedule stop new-billing"))
@_key
@_schedule_id
@client_options
def stop(key: str, schedule_id: str | None, **options: Any) -> None:
    """
    Let no further step of KEY come; what was applied stays.

    SCHEDULE_ID may be left out where there is only one to come.
    """
    _end(make_client(**options), "stop", key, schedule_id)


@schedule.command(epilog=example("flagstream schedule revert new-billing"))
@_key
@_schedule_id
@client_options
def revert(key: str, schedule_id: str | None, **options: Any) -> None:
    """
    Let no further step of KEY come, and define it as it was before the first one.

    SCHEDULE_ID may be left out where it is the last of the flag.
    """
    _end(make_client(**options), "revert", key, schedule_id)


@schedule.command(epilog=example("flagstream schedule resume new-billing"))
@_key
@_schedule_id
@client_options
def resume(key: str, schedule_id: str | None, **options: Any) -> None:
    """
    Let a paused schedule of KEY go on, on top of what the flag is now.

    SCHEDULE_ID may be left out where only one is paused.
    """
    _end(make_client(**options), "resume", key, schedule_id)


_MEANT = {"stop": ("pending", "running", "paused"), "resume": ("paused",)}


def _end(client: Client, action: str, key: str, schedule_id: str | None) -> None:
    chosen = schedule_id or _meant(client, action, key)
    click.echo("\n".join(_lines(client.end_schedule(key, chosen, action))))


def _meant(client: Client, action: str, key: str) -> str:
    """Find the one schedule of a flag that can be meant."""
    known = [
        each
        for each in client.schedules(key)
        if action not in _MEANT or each["status"] in _MEANT[action]
    ]
    if not known or (action in _MEANT and len(known) > 1):
        ids = ", ".join(each["id"] for each in known) or "none"
        raise ScheduleError(f"SCHEDULE_ID: expected which one to {action}: there is {ids}")
    newest: str = known[0]["id"]
    return newest


def _lines(planned: Document) -> Iterator[str]:
    reason = f": {planned['reason']}" if planned["reason"] else ""
    yield f"{planned['id']}\t{planned['flag_key']}\t{planned['status']}{reason}"
    for step in planned["steps"]:
        rollout = step["rollout_percentage"]
        what = json.dumps(step["change"]) if rollout is None else f"{rollout:g} %"
        yield f"  {step['number']}\t{step['scheduled_at']}\t{step['status']}\t{what}"
