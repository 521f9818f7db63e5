"""Changes of flags that are to come: planned, looked at, and ended in one call."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from aiohttp import web

from flagstream.errors import ConflictError, InvalidFieldError
from flagstream.management import (
    find_schedule,
    flag_row,
    iso_time,
    previews,
    schedules_of,
    status,
    step_status,
)
from flagstream.openapi import Answer, Parameter, described
from flagstream.ports import ProjectSnapshot
from flagstream.state.access import Scope
from flagstream.state.schedules import Schedule

from . import keys
from .auth import editor_of, project_of_key
from .bodies import read_object
from .pages import API_ROOTS, list_document
from .responses import json_response, route
from .shapes import schedules as shapes
from .shapes.common import PAGING

_Row = Mapping[str, Any]
_OPEN = ("pending", "running", "paused")
_STATUSES = ("open", "all")
STATUS = Parameter(
    name="status",
    shape=Literal["open", "all"],
    text="`all` lists those as well that are done or were ended; `open` where it is not given.",
)


class _Named(NamedTuple):
    """What the path names: a flag, by id or key, and a schedule of it."""

    flag: str
    schedule: str


@described(Answer(shapes.Schedules), parameters=[STATUS, *PAGING], access=Scope.FLAGS_READ)
async def list_project_schedules(request: web.Request) -> web.Response:
    """List the changes that are to come in a project, the newest first."""
    snapshot = _snapshot(request)
    wanted = request.query.get("status", "open")
    if wanted not in _STATUSES:
        raise InvalidFieldError("status", "open or all", wanted)
    found = [
        schedule
        for schedule in reversed(list(snapshot.schedules.values()))
        if wanted == "all" or _status(schedule, snapshot) in _OPEN
    ]
    # Without what their steps make of flags: of all of them that takes too long.
    return _list(request, found, {})


@described(Answer(shapes.Schedules), parameters=PAGING, access=Scope.FLAGS_READ)
async def list_schedules(request: web.Request) -> web.Response:
    """List all schedules of a flag, the newest first."""
    snapshot = _snapshot(request)
    found = schedules_of(snapshot, flag_row(snapshot, request.match_info["flag"]))
    coming = {}
    for schedule in found:
        coming[schedule.id] = _coming(request, schedule, snapshot)
        await asyncio.sleep(0)  # one may take tens of milliseconds: others go between
    return _list(request, found[::-1], coming)


@described(Answer(shapes.Schedule, status=201), body=shapes.NEW_SCHEDULE, access=Scope.FLAGS_WRITE)
async def add_schedule(request: web.Request) -> web.Response:
    """Plan a change of a flag, or a rollout that widens in steps."""
    editor, flag = editor_of(request), request.match_info["flag"]
    body = await read_object(request)
    schedule = await request.app[keys.SCHEDULES].add(editor, flag, body)
    return _answer(request, schedule, status=201)


@described(Answer(shapes.Schedule), access=Scope.FLAGS_READ)
async def get_schedule(request: web.Request) -> web.Response:
    """Read a schedule, with what each step that is to come makes of the flag."""
    snapshot = _snapshot(request)
    return _answer(request, find_schedule(snapshot, *_named(request)))


@described(Answer(shapes.Schedule), refusals=[ConflictError], access=Scope.FLAGS_WRITE)
async def stop_schedule(request: web.Request) -> web.Response:
    """Let no further step come; what was applied stays."""
    editor = editor_of(request)
    return _answer(request, await request.app[keys.SCHEDULES].stop(editor, *_named(request)))


@described(Answer(shapes.Schedule), refusals=[ConflictError], access=Scope.FLAGS_WRITE)
async def revert_schedule(request: web.Request) -> web.Response:
    """Let no further step come, and define the flag as it was before the first one."""
    editor = editor_of(request)
    return _answer(request, await request.app[keys.SCHEDULES].revert(editor, *_named(request)))


@described(Answer(shapes.Schedule), refusals=[ConflictError], access=Scope.FLAGS_WRITE)
async def resume_schedule(request: web.Request) -> web.Response:
    """Let a paused schedule go on, on top of what the flag is now."""
    editor = editor_of(request)
    return _answer(request, await request.app[keys.SCHEDULES].resume(editor, *_named(request)))


def _named(request: web.Request) -> _Named:
    return _Named(request.match_info["flag"], request.match_info["schedule"])


def _snapshot(request: web.Request) -> ProjectSnapshot:
    return request.app[keys.CATALOG].project(project_of_key(request).id)


def _list(
    request: web.Request, found: Sequence[Schedule], coming: Mapping[str, Mapping[int, _Row]]
) -> web.Response:
    snapshot = _snapshot(request)

    def document(schedule: Schedule) -> dict[str, Any]:
        return schedule_document(schedule, snapshot, coming.get(schedule.id, {}))

    return json_response(list_document(request, found, document))


def _coming(
    request: web.Request, schedule: Schedule, snapshot: ProjectSnapshot
) -> Mapping[int, _Row]:
    return previews(schedule, _row(schedule, snapshot), request.app[keys.CLOCK_MS]())


def _answer(request: web.Request, schedule: Schedule, *, status: int = 200) -> web.Response:
    snapshot = _snapshot(request)
    document = schedule_document(schedule, snapshot, _coming(request, schedule, snapshot))
    return json_response(document, status=status)


def _row(schedule: Schedule, snapshot: ProjectSnapshot) -> _Row | None:
    return snapshot.flag_rows.get(schedule.plan.flag_key)


def _status(schedule: Schedule, snapshot: ProjectSnapshot) -> str:
    return status(schedule, _row(schedule, snapshot))


def schedule_document(
    schedule: Schedule, snapshot: ProjectSnapshot, coming: Mapping[int, _Row]
) -> dict[str, Any]:
    """
    Show a schedule as the API does.

    Args:
        coming: What the flag is to be from steps on, by their numbers.
    """
    plan, course, end = schedule.plan, schedule.course, schedule.end
    return {
        "id": schedule.id,
        "flag_id": plan.flag_id,
        "flag_key": plan.flag_key,
        "status": _status(schedule, snapshot),
        "reason": course.paused if end is None else course.unrestorable,
        "conditions": plan.conditions,
        "steps": _steps(schedule, _row(schedule, snapshot), coming),
        "author": plan.author,
        "created_at": iso_time(plan.time_ms),
        "ended_by": None if end is None else end.author,
        "ended_at": None if end is None else iso_time(end.time_ms),
        "version_before": None if course.before is None else course.before["version"],
    }


def _steps(
    schedule: Schedule, row: _Row | None, coming: Mapping[int, _Row]
) -> list[dict[str, Any]]:
    marks = {mark.step: mark for mark in schedule.course.marks}
    steps = []
    for number, step in enumerate(schedule.plan.steps, 1):
        mark = marks.get(number)
        steps.append(
            {
                "number": number,
                "scheduled_at": iso_time(step.at_ms),
                "status": step_status(schedule, row, number),
                "change": step.change or None,
                "rollout_percentage": step.rollout_percentage,
                "applied_at": None if mark is None else iso_time(mark.time_ms),
                "version": None if mark is None else mark.version,
                "change_id": None if mark is None else mark.change_id,
                "filters": coming[number]["filters"] if number in coming else None,
            }
        )
    return steps


_FLAG = "feature_flags/{flag}/schedule"
_ONE = _FLAG + "/{schedule}"
routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("GET", f"{root}/schedules", list_project_schedules),
        *route("GET", f"{root}/{_FLAG}", list_schedules),
        *route("POST", f"{root}/{_FLAG}", add_schedule),
        *route("GET", f"{root}/{_ONE}", get_schedule),
        *route("POST", f"{root}/{_ONE}/stop", stop_schedule),
        *route("POST", f"{root}/{_ONE}/revert", revert_schedule),
        *route("POST", f"{root}/{_ONE}/resume", resume_schedule),
    )
)
