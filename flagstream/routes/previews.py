"""What a change of a flag would do to whom, for who holds the secret key."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from flagstream.census import LISTS, PageOf, Preview, PreviewPage, PreviewTask, change_of
from flagstream.errors import InvalidFieldError
from flagstream.flags import parse_flag
from flagstream.management import changed_row, check_flag, new_row
from flagstream.openapi import Answer, AnyOf, Body, described
from flagstream.ports import ProjectSnapshot
from flagstream.state.access import Scope

from . import keys
from .auth import caller_of, check_scope, project_of_key
from .bodies import read_object
from .pages import API_ROOTS
from .responses import bytes_response, route
from .shapes import previews as shapes

_LIMIT = 100
_OURS = ("list", "after", "limit")


@described(
    Answer(AnyOf(Preview, PreviewPage)),
    body=Body(shapes.ToPreview),
    access=Scope.FLAGS_READ,
)
async def preview_flag(request: web.Request) -> web.Response:
    """
    Tell what a changed or new flag would do to all stored groups, or persons.

    The body is what would be written. Counted are those whom the flag is on for now and then, with
    who joins, who leaves, who stays and who of these moves to another variant; each list has the
    first names. With ``list`` the answer is a page of that one alone, behind ``after``. Needs the
    scope ``groups:read`` besides, or ``events:read`` for flags of persons.
    """
    project = project_of_key(request)
    body = await read_object(request)
    page, limit = _page(body), _limit(body)
    snapshot = request.app[keys.CATALOG].project(project.id)
    now_ms = request.app[keys.CLOCK_MS]()
    row = _row({name: body[name] for name in body if name not in _OURS}, snapshot, now_ms)
    task = PreviewTask(
        change=change_of(snapshot.project.parsed, parse_flag(row)),
        project_id=project.id,
        now_ms=now_ms,
        timeout_s=request.app[keys.SETTINGS].preview_timeout_s,
        limit=limit,
        page=page,
    )
    result = await request.app[keys.PREVIEWS].preview(task, lambda: _is_waiting(request))
    check_scope(caller_of(request), _scope_of(result))
    return bytes_response(msgspec.json.encode(result))


def _scope_of(result: Preview | PreviewPage) -> Scope:
    """Tell which scope reads the names in it: persons come with their events."""
    return Scope.EVENTS_READ if result.group_type is None else Scope.GROUPS_READ


def _is_waiting(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def _page(body: Mapping[str, Any]) -> PageOf | None:
    wanted, after = body.get("list"), body.get("after")
    if after is not None and (not isinstance(after, str) or wanted is None):
        raise InvalidFieldError("after", "a name, beside the list that goes on behind it", after)
    if wanted is None:
        return None
    if wanted not in LISTS:
        raise InvalidFieldError("list", f"one of {', '.join(LISTS)}", wanted)
    return PageOf(list=wanted, after=after)


def _limit(body: Mapping[str, Any]) -> int:
    limit = body.get("limit", _LIMIT)
    if type(limit) is not int or not 1 <= limit <= shapes.MAX_NAMES:
        raise InvalidFieldError("limit", f"a number from 1 to {shapes.MAX_NAMES}", limit)
    return limit


def _row(body: Mapping[str, Any], snapshot: ProjectSnapshot, now_ms: int) -> dict[str, Any]:
    """
    Make the row that writing *body* would make.

    Raises:
        InvalidRequestError: Naming every member that is wrong.
    """
    key, rows = body.get("key"), snapshot.flag_rows
    known = rows.get(key) if isinstance(key, str) else None
    if known is not None and not known["deleted"]:
        row = changed_row(known, body, now_ms=now_ms)
    else:
        flag_id = max((each["id"] for each in rows.values()), default=0) + 1
        row = new_row(body, flag_id=flag_id, bucketing=snapshot.settings.bucketing, now_ms=now_ms)
    check_flag(row, snapshot)
    return row


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in route("POST", f"{root}/flags/preview", preview_flag)
)
