"""Groups made and changed over the API: one at a time, or thousands of lines in a request."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any

import orjson
from aiohttp import web

from flagstream.errors import (
    InvalidFieldError,
    InvalidRequestError,
    LogUnavailableError,
    OverloadedError,
)
from flagstream.openapi import Answer, Body, described
from flagstream.ports import Position, Project
from flagstream.state.access import Scope
from flagstream.state.group_types import MAX_TYPES
from flagstream.state.groups import GroupUpdate, fold_group
from flagstream.warning_kinds import WarningKind
from flagstream.wire import (
    GroupChange,
    GroupLine,
    Loss,
    OverLimitError,
    group_change,
    group_lines,
)

from . import keys
from .auth import project_of_key
from .bodies import decoded, read_body, read_object
from .groups import NAMED, group_document, named_group, type_of_index
from .pages import API_ROOTS
from .position import POSITION_HEADER, positioned
from .responses import json_response, route
from .shapes import group_changes as shapes
from .shapes.groups import Group

_LAST_VERSION = 1 << 62
_LINES_PER_APPEND = 250
_CHANGED = Answer(Group, headers=POSITION_HEADER)


@described(
    Answer(Group, status=201, headers=POSITION_HEADER),
    body=shapes.NEW_GROUP,
    refusals=[OverloadedError],
    access=Scope.GROUPS_WRITE,
)
async def create_group(request: web.Request) -> web.Response:
    """Make a group that is not known yet."""
    project = project_of_key(request)
    body = await read_object(request)
    index = body.get("group_type_index")
    if type(index) is not int or not 0 <= index < MAX_TYPES:
        raise InvalidFieldError("group_type_index", f"a number below {MAX_TYPES}", index)
    known = {name: body.get(name) for name in ("group_key", "group_properties")}
    group_type = type_of_index(request, project, index)
    limits = request.app[keys.EVENT_LIMITS]
    change = group_change({**known, "group_type": group_type}, limits)
    view = request.app[keys.VIEW]
    if view.group(project.id, change.group_type, change.group_key) is not None:
        raise InvalidRequestError(
            "A group with this key already exists.", code="unique", attr="group_key"
        )
    return await _changed(request, project, index, change, status=201)


@described(
    _CHANGED,
    parameters=NAMED,
    body=Body(shapes.PropertyChange),
    refusals=[OverloadedError],
    access=Scope.GROUPS_WRITE,
)
async def update_property(request: web.Request) -> web.Response:
    """Set one property of a group."""
    project = project_of_key(request)
    body = await read_object(request)
    name, value = body.get("key"), body.get("value")
    if not isinstance(name, str) or not name:
        raise InvalidFieldError("key", "a property's name", name)
    if value is None:
        raise InvalidFieldError("value", "anything but null", value)
    return await _change_named(request, project, {"group_properties": {name: value}})


@described(
    _CHANGED,
    parameters=NAMED,
    body=Body(shapes.PropertyRemoval),
    refusals=[OverloadedError],
    access=Scope.GROUPS_WRITE,
)
async def delete_property(request: web.Request) -> web.Response:
    """Remove one property of a group."""
    project = project_of_key(request)
    body = await read_object(request)
    name = body.get("$unset")
    known = named_group(request, project).group.values()
    if not isinstance(name, str) or name not in known:
        raise InvalidFieldError("$unset", "the name of a property that the group has", name)
    return await _change_named(request, project, {"unset": [name]})


@described(
    Answer(shapes.LineAnswer, media=shapes.LINES.media, headers=POSITION_HEADER),
    body=shapes.LINES,
    refusals=[OverloadedError],
    access=Scope.GROUPS_WRITE,
)
async def change_groups(request: web.Request) -> web.Response:
    """
    Make or change groups, one a line; each line is answered by one.

    Lines are JSON objects, up to 10,000 of them. Those that are right count whatever is beside
    them. A line that is answered with ``retry`` was perhaps not kept, and can be sent again.
    """
    project = project_of_key(request)
    request.app[keys.ADMISSION].admit()
    settings = request.app[keys.SETTINGS]
    max_bytes = settings.max_body_bytes
    limits = request.app[keys.EVENT_LIMITS]
    raw = await read_body(request, max_bytes)

    def parse(unwrapped: bytes) -> list[GroupLine]:
        return list(group_lines(unwrapped, settings.max_json_depth, limits))

    lines = iter(await decoded(request, raw, parse, max_bytes=max_bytes))
    answers: list[dict[str, Any]] = []
    positions: list[Position] = []
    while some := list(islice(lines, _LINES_PER_APPEND)):
        answers += await _append(request, project, some, positions)
    body = b"".join(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE) for answer in answers)
    response = web.Response(body=body, content_type=shapes.LINES.media)
    return positioned(response, positions)


async def _append(
    request: web.Request, project: Project, lines: Sequence[GroupLine], positions: list[Position]
) -> Sequence[dict[str, Any]]:
    """Append the changes in some lines, add their positions, and answer each line."""
    changes = [line.read for line in lines if isinstance(line.read, GroupChange)]
    failure, refused = None, dict[int, Loss]()
    try:
        changed = await request.app[keys.INGEST].change_groups(
            project.id, changes, request.app[keys.CLOCK_MS]()
        )
    except (LogUnavailableError, OverloadedError) as error:
        failure = {"result": "retry", "detail": str(error)}
    else:
        positions += changed.positions
        refused = dict(changed.refused)
    places = count()
    return [{"line": line.number, **_answer(line, places, refused, failure)} for line in lines]


def _answer(
    line: GroupLine,
    places: Iterator[int],
    refused: Mapping[int, Loss],
    failure: dict[str, Any] | None,
) -> dict[str, Any]:
    """Answer a line; those that are changes are counted by *places*."""
    error = line.read
    if isinstance(error, GroupChange):
        loss = refused.get(next(places))
        if loss is None:
            return failure or {"result": "ok"}
        error = _refused(loss)
    return {"result": "error", "field": error.attr or "line", "detail": error.detail}


def _refused(loss: Loss) -> InvalidRequestError:
    is_type = loss.kind is WarningKind.GROUP_TYPE_REFUSED
    return OverLimitError(loss._replace(field="group_type" if is_type else "group_properties"))


async def _change_named(
    request: web.Request, project: Project, members: dict[str, Any]
) -> web.Response:
    """Change the group that the query names."""
    named = named_group(request, project)
    known = {"group_type": named.group_type, "group_key": named.group_key}
    change = group_change({**known, **members}, request.app[keys.EVENT_LIMITS])
    return await _changed(request, project, named.type_index, change)


async def _changed(
    request: web.Request,
    project: Project,
    index: int,
    change: GroupChange,
    *,
    status: int = 200,
) -> web.Response:
    """Make a change durable, wait until flags follow from it, and show the group."""
    request.app[keys.ADMISSION].admit()
    now_ms = request.app[keys.CLOCK_MS]()
    changed = await request.app[keys.INGEST].change_groups(project.id, [change], now_ms)
    if changed.refused:
        raise _refused(changed.refused[0])
    await request.app[keys.PROGRESS].wait_visible(
        changed.positions, request.app[keys.SETTINGS].wait_timeout_s
    )
    known = request.app[keys.VIEW].group(project.id, change.group_type, change.group_key)
    # The change is durable, whether or not the view shows it in time.
    update = GroupUpdate(time_ms=now_ms, set=dict(change.set), unset=list(change.unset))
    group = fold_group(known, update, _LAST_VERSION)
    document = group_document(index, change.group_key, group)
    return positioned(json_response(document, status=status), changed.positions)


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("POST", f"{root}/groups", create_group),
        *route("POST", f"{root}/groups/update_property", update_property),
        *route("POST", f"{root}/groups/delete_property", delete_property),
        *route("POST", f"{root}/groups/batch", change_groups),
    )
)
