"""Projects with their settings and keys, for holders of a secret key."""

from dataclasses import asdict
from typing import Any

from aiohttp import web

from flagstream.openapi import Answer, Body, described
from flagstream.ports import Project, ProjectSettings

from . import keys
from .auth import editor_of, masked, project_of_key
from .bodies import read_object
from .pages import API_ROOTS, list_document
from .responses import json_response, route
from .shapes import projects as shapes
from .shapes.common import PAGING


@described(Answer(shapes.Projects), parameters=PAGING)
async def list_projects(request: web.Request) -> web.Response:
    """List the projects that the key is of: one."""
    project = project_of_key(request)
    document = settings_document(project, _settings(request, project))
    return json_response(list_document(request, [document], dict))


@described(Answer(shapes.Project))
async def get_project(request: web.Request) -> web.Response:
    """Read a project with its settings."""
    project = project_of_key(request)
    return json_response(settings_document(project, _settings(request, project)))


@described(Answer(shapes.Project), body=Body(shapes.SettingsChange))
async def update_project(request: web.Request) -> web.Response:
    """Change the named settings of a project."""
    project, editor = project_of_key(request), editor_of(request)
    body = await read_object(request)
    settings = await request.app[keys.MANAGEMENT].update_settings(editor, body)
    return json_response(settings_document(project, settings))


def settings_document(project: Project, settings: ProjectSettings) -> dict[str, Any]:
    """Show a project with its settings."""
    return {"id": project.id, "api_token": project.token, **asdict(settings)}


def _settings(request: web.Request, project: Project) -> ProjectSettings:
    return request.app[keys.CATALOG].project(project.id).settings


@described(Answer(shapes.Keys), parameters=PAGING)
async def list_keys(request: web.Request) -> web.Response:
    """List the keys of a project with what they are for; of the secret one only its end."""
    project = project_of_key(request)
    token = {
        "kind": "project_token",
        "value": project.token,
        "is_masked": False,
        "reads": ["flags"],
        "writes": ["events"],
    }
    secret_key = {
        "kind": "secret_key",
        "value": masked(project.secret_key),
        "is_masked": True,
        "reads": ["everything"],
        "writes": ["definitions", "groups", "settings"],
    }
    return json_response(list_document(request, [token, secret_key], dict))


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("GET", root.rpartition("/")[0], list_projects),
        *route("GET", root, get_project),
        *route("PATCH", root, update_project),
        *route("GET", f"{root}/keys", list_keys),
    )
)
