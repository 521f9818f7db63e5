"""What became of flags, cohorts and settings: every change, who made it, and the way back."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from flagstream.errors import InvalidFieldError
from flagstream.management import Entry, entries, find_cohort, find_flag, iso_time
from flagstream.ports import Change
from flagstream.state.definitions import Kind

from . import keys
from .auth import editor_of, project_of_key
from .bodies import read_object
from .cohorts import cohort_document, cohort_id
from .management import flag_document, flag_id, settings_document
from .pages import API_ROOTS, list_document
from .responses import json_response, route

_SCOPES = {Kind.FLAG: "FeatureFlag", Kind.COHORT: "Cohort", Kind.PROJECT: "Project"}


async def list_flag_changes(request: web.Request) -> web.Response:
    """List the changes of a flag, the newest first."""
    return _changes(request, Kind.FLAG, _flag_key(request))


async def list_cohort_changes(request: web.Request) -> web.Response:
    """List the changes of a cohort, the newest first; not those of its members."""
    return _changes(request, Kind.COHORT, _cohort_name(request))


async def list_settings_changes(request: web.Request) -> web.Response:
    """List the changes of a project's settings, the newest first."""
    return _changes(request, Kind.PROJECT, str(project_of_key(request).id))


async def restore_flag(request: web.Request) -> web.Response:
    """Define a flag as it was after a change."""
    body = await _body_of_change(request, Kind.FLAG, _flag_key(request))
    management = request.app[keys.MANAGEMENT]
    row = await management.restore_flag(editor_of(request), flag_id(request), body)
    return json_response(flag_document(row))


async def restore_cohort(request: web.Request) -> web.Response:
    """Define a cohort as it was after a change; its members stay."""
    body = await _body_of_change(request, Kind.COHORT, _cohort_name(request))
    management = request.app[keys.MANAGEMENT]
    row = await management.restore_cohort(editor_of(request), cohort_id(request), body)
    return json_response(cohort_document(row))


async def restore_settings(request: web.Request) -> web.Response:
    """Set a project's settings to what they were after a change."""
    project = project_of_key(request)
    body = await _body_of_change(request, Kind.PROJECT, str(project.id))
    settings = await request.app[keys.MANAGEMENT].update_settings(editor_of(request), body)
    return json_response(settings_document(project, settings))


def _flag_key(request: web.Request) -> str:
    project = project_of_key(request)
    snapshot = request.app[keys.CATALOG].project(project.id)
    key: str = find_flag(snapshot, flag_id(request))["key"]
    return key


def _cohort_name(request: web.Request) -> str:
    project = project_of_key(request)
    snapshot = request.app[keys.CATALOG].project(project.id)
    return str(find_cohort(snapshot, cohort_id(request))["id"])


def _changes(request: web.Request, kind: Kind, name: str) -> web.Response:
    project = project_of_key(request)
    history = entries(request.app[keys.VIEW].history(project.id, kind, name))
    return json_response(
        list_document(request, history[::-1], lambda entry: _document(entry, kind, name))
    )


def _document(entry: Entry, kind: Kind, name: str) -> Mapping[str, Any]:
    state = entry.change.state
    scope = _SCOPES[kind]
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
        "item_id": str(state.body.get("id", name)),
        "version": state.body.get("version"),
        "detail": {"name": state.body.get("key", state.body.get("name")), "changes": changes},
        "created_at": iso_time(state.time_ms),
    }


async def _body_of_change(request: web.Request, kind: Kind, name: str) -> Mapping[str, Any]:
    """Find the change that the body names."""
    project = project_of_key(request)
    wanted = (await read_object(request)).get("id")
    history = request.app[keys.VIEW].history(project.id, kind, name)
    found: Change | None = next((change for change in history if change.id == wanted), None)
    if found is None:
        raise InvalidFieldError("id", "the id of a change in this history", wanted)
    return found.state.body


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("GET", f"{root}/feature_flags/{{id}}/activity", list_flag_changes),
        *route("POST", f"{root}/feature_flags/{{id}}/restore", restore_flag),
        *route("GET", f"{root}/cohorts/{{id}}/activity", list_cohort_changes),
        *route("POST", f"{root}/cohorts/{{id}}/restore", restore_cohort),
        *route("GET", f"{root}/activity", list_settings_changes),
        *route("POST", f"{root}/restore", restore_settings),
    )
)
