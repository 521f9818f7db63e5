"""What became of flags, cohorts and settings: every change, who made it, and the way back."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiohttp import web

from flagstream.errors import ConflictError, InvalidFieldError
from flagstream.management import Entry, entries, find_cohort, find_flag, iso_time
from flagstream.openapi import Answer, Body, described
from flagstream.ports import Change, Project
from flagstream.state.access import Scope
from flagstream.state.definitions import Kind

from . import keys
from .auth import editor_of, project_of_key
from .bodies import read_object
from .cohorts import cohort_document, cohort_id
from .management import flag_document, flag_id
from .pages import API_ROOTS, list_document
from .projects import settings_document
from .responses import json_response, route
from .secret_keys import key_id
from .shapes import history as shapes
from .shapes.cohorts import Cohort
from .shapes.common import PAGING
from .shapes.management import Flag
from .shapes.projects import Project as ProjectShape

_SCOPES = {
    Kind.FLAG: "FeatureFlag",
    Kind.COHORT: "Cohort",
    Kind.PROJECT: "Project",
    Kind.KEY: "SecretKey",
}


class _Defined(NamedTuple):
    """The definition whose history a request is about."""

    project: Project
    kind: Kind
    name: str


@described(Answer(shapes.Changes), parameters=PAGING, access=Scope.FLAGS_READ)
async def list_flag_changes(request: web.Request) -> web.Response:
    """List the changes of a flag, the newest first."""
    return _changes(request, _flag(request))


@described(Answer(shapes.Changes), parameters=PAGING, access=Scope.FLAGS_READ)
async def list_cohort_changes(request: web.Request) -> web.Response:
    """List the changes of a cohort, the newest first; not those of its members."""
    return _changes(request, _cohort(request))


@described(Answer(shapes.Changes), parameters=PAGING, access=Scope.PROJECT_ADMIN)
async def list_settings_changes(request: web.Request) -> web.Response:
    """List the changes of a project's settings, the newest first."""
    return _changes(request, _settings(request))


@described(Answer(shapes.Changes), parameters=PAGING, access=Scope.PROJECT_ADMIN)
async def list_key_changes(request: web.Request) -> web.Response:
    """List what became of a secret key, the last first: it was made, replaced, revoked."""
    return _changes(request, _key(request))


@described(Answer(Flag), body=Body(shapes.ChangeId), access=Scope.FLAGS_WRITE)
async def restore_flag(request: web.Request) -> web.Response:
    """Define a flag as it was after a change."""
    body = await _body_of_change(request, _flag(request))
    management = request.app[keys.MANAGEMENT]
    row = await management.restore_flag(editor_of(request), flag_id(request), body)
    return json_response(flag_document(row))


@described(
    Answer(Cohort), body=Body(shapes.ChangeId), refusals=[ConflictError], access=Scope.FLAGS_WRITE
)
async def restore_cohort(request: web.Request) -> web.Response:
    """Define a cohort as it was after a change; its members stay."""
    body = await _body_of_change(request, _cohort(request))
    management = request.app[keys.MANAGEMENT]
    row = await management.restore_cohort(editor_of(request), cohort_id(request), body)
    return json_response(cohort_document(row))


@described(Answer(ProjectShape), body=Body(shapes.ChangeId), access=Scope.PROJECT_ADMIN)
async def restore_settings(request: web.Request) -> web.Response:
    """Set a project's settings to what they were after a change."""
    defined = _settings(request)
    body = await _body_of_change(request, defined)
    settings = await request.app[keys.MANAGEMENT].update_settings(editor_of(request), body)
    return json_response(settings_document(defined.project, settings))


def _flag(request: web.Request) -> _Defined:
    project = project_of_key(request)
    row = find_flag(request.app[keys.CATALOG].project(project.id), flag_id(request))
    return _Defined(project, Kind.FLAG, row["key"])


def _cohort(request: web.Request) -> _Defined:
    project = project_of_key(request)
    row = find_cohort(request.app[keys.CATALOG].project(project.id), cohort_id(request))
    return _Defined(project, Kind.COHORT, str(row["id"]))


def _settings(request: web.Request) -> _Defined:
    project = project_of_key(request)
    return _Defined(project, Kind.PROJECT, str(project.id))


def _key(request: web.Request) -> _Defined:
    project = project_of_key(request)
    key = request.app[keys.SECRET_KEYS].find(project.id, key_id(request))
    return _Defined(project, Kind.KEY, key.id)


def _history(request: web.Request, defined: _Defined) -> Sequence[Change]:
    return request.app[keys.VIEW].history(defined.project.id, defined.kind, defined.name)


def _changes(request: web.Request, defined: _Defined) -> web.Response:
    history = entries(_history(request, defined))
    return json_response(
        list_document(request, history[::-1], lambda entry: _document(entry, defined))
    )


def _document(entry: Entry, defined: _Defined) -> Mapping[str, Any]:
    state = entry.change.state
    scope = _SCOPES[defined.kind]
    changes = [
        {
            "type": scope,
            "action": each.action,
            "field": each.field,
            "before": each.before,
            "after": each.after,
        }
        for each in entry.differences
    ]
    return {
        "id": entry.change.id,
        "user": None,
        "author": state.author,
        "activity": entry.activity,
        "scope": scope,
        "item_id": str(state.body.get("id", defined.name)),
        "version": state.body.get("version"),
        "detail": {"name": _name(state.body), "changes": changes},
        "created_at": iso_time(state.time_ms),
    }


def _name(body: Mapping[str, Any]) -> str | None:
    return next((body[name] for name in ("key", "name", "label") if name in body), None)


async def _body_of_change(request: web.Request, defined: _Defined) -> Mapping[str, Any]:
    """Find the change that the body names."""
    wanted = (await read_object(request)).get("id")
    for change in _history(request, defined):
        if change.id == wanted:
            return change.state.body
    raise InvalidFieldError("id", "the id of a change in this history", wanted)


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("GET", f"{root}/feature_flags/{{id}}/activity", list_flag_changes),
        *route("POST", f"{root}/feature_flags/{{id}}/restore", restore_flag),
        *route("GET", f"{root}/cohorts/{{id}}/activity", list_cohort_changes),
        *route("POST", f"{root}/cohorts/{{id}}/restore", restore_cohort),
        *route("GET", f"{root}/keys/{{key_id}}/activity", list_key_changes),
        *route("GET", f"{root}/activity", list_settings_changes),
        *route("POST", f"{root}/restore", restore_settings),
    )
)
