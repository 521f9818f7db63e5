"""Feature flags, for holders of the secret key."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from flagstream.errors import ConflictError
from flagstream.management import READ_ONLY, dependents, find_flag
from flagstream.openapi import Answer, AnyOf, described
from flagstream.state.access import Scope

from . import keys
from .auth import editor_of, project_of_key
from .bodies import read_object
from .flag_filters import PARAMETERS, matching_flags
from .pages import API_ROOTS, list_document, path_id
from .responses import json_response, route
from .shapes import management as shapes
from .shapes.common import PAGING

_REASONS = {
    "ACTIVE": "Flag is evaluated.",
    "INACTIVE": "Flag is not active: it is left out of every answer.",
    "DELETED": "Flag has been deleted.",
}
Row = Mapping[str, Any]


@described(Answer(shapes.Flags), parameters=[*PARAMETERS, *PAGING], access=Scope.FLAGS_READ)
async def list_flags(request: web.Request) -> web.Response:
    """List the flags that are not deleted, the newest first."""
    project = project_of_key(request)
    rows = request.app[keys.CATALOG].project(project.id).flag_rows
    matching = matching_flags(request, rows.values())
    return json_response(list_document(request, matching, flag_document))


@described(Answer(shapes.Flag, status=201), body=shapes.NEW_FLAG, access=Scope.FLAGS_WRITE)
async def create_flag(request: web.Request) -> web.Response:
    """Add a flag."""
    editor = editor_of(request)
    body = await read_object(request)
    row = await request.app[keys.MANAGEMENT].create_flag(editor, body)
    return json_response(flag_document(row), status=201)


@described(Answer(AnyOf(shapes.Flag, shapes.UnreadableFlag)), access=Scope.FLAGS_READ)
async def get_flag(request: web.Request) -> web.Response:
    """Read a flag, deleted or not."""
    project = project_of_key(request)
    snapshot = request.app[keys.CATALOG].project(project.id)
    row = find_flag(snapshot, flag_id(request))
    document = flag_document(row)
    # Only a server of another version writes what this one cannot read.
    if (problems := snapshot.flags.problems.get(row["key"])) is not None:
        document["problems"] = list(map(str, problems))
    return json_response(document)


@described(
    Answer(shapes.Flag), body=shapes.FLAG_CHANGE, refusals=[ConflictError], access=Scope.FLAGS_WRITE
)
async def update_flag(request: web.Request) -> web.Response:
    """Change the named members of a flag; a PUT leaves the others alone as well."""
    editor = editor_of(request)
    body = await read_object(request)
    row = await request.app[keys.MANAGEMENT].update_flag(editor, flag_id(request), body)
    return json_response(flag_document(row))


@described(Answer(shapes.FlagStatus), access=Scope.FLAGS_READ)
async def flag_status(request: web.Request) -> web.Response:
    """Say whether a flag is evaluated, and why not."""
    project = project_of_key(request)
    row = find_flag(request.app[keys.CATALOG].project(project.id), flag_id(request))
    status = _status(row)
    return json_response({"status": status, "reason": _REASONS[status]})


@described(Answer(list[shapes.FlagName]), access=Scope.FLAGS_READ)
async def list_dependent_flags(request: web.Request) -> web.Response:
    """List the flags whose answers depend on a flag's."""
    project = project_of_key(request)
    snapshot = request.app[keys.CATALOG].project(project.id)
    row = find_flag(snapshot, flag_id(request))
    return json_response(
        [
            {"id": each["id"], "key": each["key"], "name": each["name"]}
            for each in dependents(row["id"], snapshot)
        ]
    )


def _status(row: Row) -> str:
    return "DELETED" if row["deleted"] else "ACTIVE" if row["active"] else "INACTIVE"


def flag_id(request: web.Request) -> int:
    """Read the id in the path."""
    return path_id(request, "feature flag")


def flag_document(row: Row) -> dict[str, Any]:
    """Show a row as the API does."""
    return {"archived": False, **READ_ONLY, **row, "status": _status(row)}


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("GET", f"{root}/feature_flags", list_flags),
        *route("POST", f"{root}/feature_flags", create_flag),
        *route("GET", f"{root}/feature_flags/{{id}}", get_flag),
        *route("PATCH", f"{root}/feature_flags/{{id}}", update_flag),
        *route("PUT", f"{root}/feature_flags/{{id}}", update_flag),
        *route("GET", f"{root}/feature_flags/{{id}}/status", flag_status),
        *route("GET", f"{root}/feature_flags/{{id}}/dependent_flags", list_dependent_flags),
    )
)
