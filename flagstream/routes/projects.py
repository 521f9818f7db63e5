"""Projects with their settings and public tokens."""

from dataclasses import asdict
from typing import Any

from aiohttp import web

from flagstream.errors import ConflictError
from flagstream.management import iso_time
from flagstream.openapi import Access, Answer, Body, described
from flagstream.ports import Project, ProjectSettings
from flagstream.state.access import Scope

from . import keys
from .auth import caller_of, editor_of, project_of_key
from .bodies import read_object, read_optional_object
from .pages import API_ROOTS, list_document
from .responses import json_response, route
from .shapes import projects as shapes
from .shapes.common import PAGING
from .shapes.secret_keys import Overlap


@described(Answer(shapes.Projects), access=Access.SECRET_KEY, parameters=PAGING)
async def list_projects(request: web.Request) -> web.Response:
    """List the projects that the key opens: one, or for the operator's all."""
    is_operator = caller_of(request).key is None
    projects = request.app[keys.PROJECTS].all() if is_operator else [project_of_key(request)]
    return json_response(
        list_document(request, projects, lambda project: _present_document(request, project))
    )


@described(Answer(shapes.Project), access=Access.SECRET_KEY)
async def get_project(request: web.Request) -> web.Response:
    """Read a project with its settings."""
    return json_response(_present_document(request, project_of_key(request)))


@described(Answer(shapes.Project, status=201), access=Access.OPERATOR, body=shapes.NEW_PROJECT)
async def create_project(request: web.Request) -> web.Response:
    """Add a project, with a public token and without keys."""
    body = await read_object(request)
    management = request.app[keys.PROJECT_MANAGEMENT]
    project = await management.create(caller_of(request).author, body)
    return json_response(_present_document(request, project), status=201)


@described(Answer(shapes.Project), access=Scope.PROJECT_ADMIN, body=Body(shapes.SettingsChange))
async def update_project(request: web.Request) -> web.Response:
    """Change the named settings of a project."""
    project, editor = project_of_key(request), editor_of(request)
    body = await read_object(request)
    settings = await request.app[keys.MANAGEMENT].update_settings(editor, body)
    return json_response(settings_document(project, settings))


@described(Answer(shapes.Project), access=Access.OPERATOR, refusals=[ConflictError])
async def archive_project(request: web.Request) -> web.Response:
    """Refuse all tokens and keys of a project from now on; nothing of it is deleted."""
    return await _archive(request, is_archived=True)


@described(Answer(shapes.Project), access=Access.OPERATOR, refusals=[ConflictError])
async def unarchive_project(request: web.Request) -> web.Response:
    """Take the tokens and keys of a project again."""
    return await _archive(request, is_archived=False)


async def _archive(request: web.Request, *, is_archived: bool) -> web.Response:
    management, author = request.app[keys.PROJECT_MANAGEMENT], caller_of(request).author
    project = await management.archive(author, project_of_key(request), is_archived=is_archived)
    return json_response(_present_document(request, project))


@described(
    Answer(shapes.Project),
    access=Scope.PROJECT_ADMIN,
    body=Body(Overlap),
    refusals=[ConflictError],
)
async def rotate_token(request: web.Request) -> web.Response:
    """Give a project another public token; the old one is taken for a while."""
    body = await read_optional_object(request)
    management = request.app[keys.PROJECT_MANAGEMENT]
    project = await management.rotate_token(editor_of(request), project_of_key(request), body)
    return json_response(_present_document(request, project))


def _present_document(request: web.Request, project: Project) -> dict[str, Any]:
    return settings_document(project, request.app[keys.CATALOG].project(project.id).settings)


def settings_document(project: Project, settings: ProjectSettings) -> dict[str, Any]:
    """Show a project with its settings."""
    return {
        "id": project.id,
        "api_token": project.token,
        "old_tokens": [
            {"api_token": each.token, "ends_at": iso_time(each.ends_at_ms)}
            for each in project.old_tokens
        ],
        "is_archived": project.is_archived,
        **asdict(settings),
    }


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("GET", root.rpartition("/")[0], list_projects),
        *route("POST", root.rpartition("/")[0], create_project),
        *route("GET", root, get_project),
        *route("PATCH", root, update_project),
        *route("POST", f"{root}/archive", archive_project),
        *route("POST", f"{root}/unarchive", unarchive_project),
        *route("POST", f"{root}/token/rotate", rotate_token),
    )
)
