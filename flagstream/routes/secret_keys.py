"""Secret keys of a project, for who administers it; each is told whole in one answer alone."""

from typing import Any

from aiohttp import web

from flagstream.errors import ConflictError
from flagstream.management import MadeKey, iso_time
from flagstream.openapi import Answer, Body, described
from flagstream.ports import SecretKey
from flagstream.state.access import Scope

from . import keys
from .auth import editor_of, project_of_key
from .bodies import read_object, read_optional_object
from .pages import API_ROOTS, list_document
from .responses import json_response, route
from .shapes import secret_keys as shapes
from .shapes.common import PAGING


@described(Answer(shapes.Keys), access=Scope.PROJECT_ADMIN, parameters=PAGING)
async def list_keys(request: web.Request) -> web.Response:
    """List the secret keys of a project, the newest first, ended ones included."""
    project = project_of_key(request)
    found = request.app[keys.SECRET_KEYS].all(project.id)
    return json_response(list_document(request, found, lambda key: _document(request, key)))


@described(Answer(shapes.NewKey, status=201), access=Scope.PROJECT_ADMIN, body=shapes.WANTED_KEY)
async def create_key(request: web.Request) -> web.Response:
    """Make a key. The answer is the only one that has it whole."""
    editor = editor_of(request)
    body = await read_object(request)
    made = await request.app[keys.SECRET_KEYS].create(editor, body)
    return _made(request, made)


@described(Answer(shapes.Key), access=Scope.PROJECT_ADMIN)
async def revoke_key(request: web.Request) -> web.Response:
    """End a key at once and for good."""
    revoked = await request.app[keys.SECRET_KEYS].revoke(editor_of(request), key_id(request))
    return json_response(_document(request, revoked))


@described(
    Answer(shapes.NewKey, status=201),
    access=Scope.PROJECT_ADMIN,
    body=Body(shapes.Overlap),
    refusals=[ConflictError],
)
async def rotate_key(request: web.Request) -> web.Response:
    """
    Make a key like another one, which ends after a while.

    The answer is the only one that has the new key whole.
    """
    body = await read_optional_object(request)
    made = await request.app[keys.SECRET_KEYS].rotate(editor_of(request), key_id(request), body)
    return _made(request, made)


def key_id(request: web.Request) -> str:
    """Read the id of the key in the path."""
    return request.match_info["key_id"]


def _made(request: web.Request, made: MadeKey) -> web.Response:
    response = json_response({**_document(request, made.key), "secret": made.secret}, status=201)
    response.headers["Cache-Control"] = "no-store"
    return response


def _document(request: web.Request, key: SecretKey) -> dict[str, Any]:
    times = {
        "expires_at": key.ends_at_ms,
        "revoked_at": key.revoked_at_ms,
        "last_used_at": key.used_at_ms,
    }
    return {
        "id": key.id,
        "label": key.label,
        "scopes": [*key.scopes],
        "status": _status(key, request.app[keys.CLOCK_MS]()),
        "value": f"phs_{key.id}_…{key.end}",
        "created_at": iso_time(key.created_at_ms),
        "created_by": key.created_by,
        **{name: None if time_ms is None else iso_time(time_ms) for name, time_ms in times.items()},
    }


def _status(key: SecretKey, now_ms: int) -> str:
    if key.revoked_at_ms is not None:
        return "revoked"
    return "expired" if key.has_expired(now_ms) else "active"


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("GET", f"{root}/keys", list_keys),
        *route("POST", f"{root}/keys", create_key),
        *route("DELETE", f"{root}/keys/{{key_id}}", revoke_key),
        *route("POST", f"{root}/keys/{{key_id}}/rotate", rotate_key),
    )
)
