"""Group types and groups with their properties, for holders of the secret key."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiohttp import web

from flagstream.errors import (
    InvalidFieldError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
)
from flagstream.management import NAME, is_name, iso_time
from flagstream.openapi import Answer, Body, Parameter, described
from flagstream.ports import Project, Search
from flagstream.state.access import Scope
from flagstream.state.group_types import MAX_TYPES, GroupType
from flagstream.state.groups import GroupState

from . import keys
from .auth import editor_of, project_of_key
from .bodies import read_list, read_object
from .pages import API_ROOTS, bounded_int, cursor_after, cursor_of, page_url
from .responses import json_response, route
from .shapes import groups as shapes
from .shapes.common import CURSOR, SEARCH, Name, TypeIndex

_PAGE = 100
TYPE = Parameter(
    name="group_type_index", shape=TypeIndex, text="The index of the type.", is_required=True
)
"""What :func:`asked_type` reads."""
NAMED = (
    TYPE,
    Parameter(name="group_key", shape=Name, text="The group's key.", is_required=True),
)
"""What :func:`named_group` reads."""


@described(Answer(list[shapes.GroupType]), access=Scope.GROUPS_READ)
async def list_types(request: web.Request) -> web.Response:
    """List the group types with their indexes."""
    return json_response(_types(request, project_of_key(request)))


@described(
    Answer(shapes.GroupType),
    body=Body(shapes.NewGroupType),
    refusals=[OverloadedError],
    access=Scope.GROUPS_WRITE,
)
async def add_type(request: web.Request) -> web.Response:
    """Give a group type the next index before its first group is seen; a known one keeps its."""
    project = project_of_key(request)
    body = await read_object(request)
    name = body.pop("group_type", None)
    for other, value in body.items():
        raise InvalidFieldError(other, "no member of this name", value)
    if not is_name(name):
        raise InvalidFieldError("group_type", NAME, name)
    request.app[keys.ADMISSION].admit()
    now_ms = request.app[keys.CLOCK_MS]()
    added = await request.app[keys.INGEST].add_group_type(project.id, name, now_ms)
    if added.refused:
        raise InvalidFieldError("group_type", f"one of the {MAX_TYPES} that there are", name)
    wait_s = request.app[keys.SETTINGS].wait_timeout_s
    await request.app[keys.PROGRESS].wait_visible(added.positions, wait_s)
    for each in _types(request, project):
        if each["group_type"] == name:
            return json_response(each)
    raise UnavailableError("The group type is not folded in yet.", retry_after_s=1)


@described(
    Answer(list[shapes.GroupType]),
    body=Body(list[shapes.GroupTypeChange]),
    access=Scope.GROUPS_WRITE,
)
async def name_types(request: web.Request) -> web.Response:
    """Say how group types are called, one object for each."""
    editor = editor_of(request)
    bodies = await read_list(request)
    await request.app[keys.MANAGEMENT].update_group_types(editor, bodies)
    return json_response(_types(request, project_of_key(request)))


@described(Answer(shapes.GroupType), body=Body(shapes.DefaultColumns), access=Scope.GROUPS_WRITE)
async def set_default_columns(request: web.Request) -> web.Response:
    """Say which properties lists of a type's groups show."""
    editor = editor_of(request)
    body = await read_object(request)
    if not isinstance(body.get("default_columns"), list):
        raise InvalidFieldError("default_columns", "a list", body.get("default_columns"))
    await request.app[keys.MANAGEMENT].update_group_types(editor, [body])
    types = _types(request, project_of_key(request))
    index = body["group_type_index"]
    return json_response(next(each for each in types if each["group_type_index"] == index))


def _types(request: web.Request, project: Project) -> list[dict[str, Any]]:
    snapshot = request.app[keys.CATALOG].project(project.id)
    return [
        _type_document(each, snapshot.group_type_rows.get(each.group_type, {}))
        for each in snapshot.group_types.types
    ]


def _type_document(group_type: GroupType, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "group_type": group_type.group_type,
        "group_type_index": group_type.index,
        "name_singular": row.get("name_singular"),
        "name_plural": row.get("name_plural"),
        "detail_dashboard": None,
        "default_columns": row.get("default_columns"),
        "created_at": iso_time(group_type.created_at_ms),
    }


@described(Answer(shapes.RefusedGroupTypes), access=Scope.GROUPS_READ)
async def list_refused_types(request: web.Request) -> web.Response:
    """List the types that came when all indexes were given; their groups are not kept."""
    project = project_of_key(request)
    refused = request.app[keys.CATALOG].project(project.id).group_types.refused
    return json_response({"results": [{"group_type": group_type} for group_type in refused]})


@described(
    Answer(shapes.Groups),
    parameters=[
        TYPE,
        SEARCH,
        Parameter(name="group_key", shape=str, text="A part of the key, in any case."),
        CURSOR,
    ],
    access=Scope.GROUPS_READ,
)
async def list_groups(request: web.Request) -> web.Response:
    """List the groups of one type in the order of their keys, a hundred a page."""
    project = project_of_key(request)
    index, group_type = asked_type(request, project)
    # Both narrow by a part of the key; `search` also looks at what lists show.
    part = request.query.get("search") or ""
    key_part = (request.query.get("group_key") or "").lower()
    found = request.app[keys.VIEW].groups(
        project.id,
        group_type,
        search=Search(part, _shown(request, project, group_type)) if part else Search(key_part),
        after=cursor_after(request),
        limit=_PAGE,
    )
    results = [
        group_document(index, group_key, group)
        for group_key, group in found.groups
        if key_part in group_key.lower()
    ]
    following = None if found.after is None else page_url(request, cursor_of(found.after))
    return json_response({"next": following, "previous": None, "results": results})


def _shown(request: web.Request, project: Project, group_type: str) -> Sequence[str]:
    """Name the properties that lists of a type's groups show."""
    rows = request.app[keys.CATALOG].project(project.id).group_type_rows
    return ["name", *(rows.get(group_type, {}).get("default_columns") or ())]


@described(Answer(shapes.FoundGroup), parameters=NAMED, access=Scope.GROUPS_READ)
async def find_group(request: web.Request) -> web.Response:
    """Read one group."""
    project = project_of_key(request)
    found = named_group(request, project)
    document = group_document(found.type_index, found.group_key, found.group)
    return json_response({**document, "notebook": None})


class NamedGroup(NamedTuple):
    """A group that a request's query names."""

    type_index: int
    group_type: str
    group_key: str
    group: GroupState


def named_group(request: web.Request, project: Project) -> NamedGroup:
    """
    Find the group that the query names.

    Raises:
        InvalidRequestError: The query names none.
        NotFoundError: It is not known.
    """
    index, group_type = asked_type(request, project)
    group_key = request.query.get("group_key")
    if not group_key:
        raise InvalidRequestError("group_key: expected a group's key", attr="group_key")
    group = request.app[keys.VIEW].group(project.id, group_type, group_key)
    if group is None:
        raise NotFoundError("There is no group with this key.")
    return NamedGroup(index, group_type, group_key, group)


def asked_type(request: web.Request, project: Project) -> tuple[int, str]:
    """
    Find the group type whose index the query names.

    Raises:
        InvalidRequestError: The query names none.
        NotFoundError: It is not known.
    """
    index = bounded_int(request, "group_type_index", default=None, lowest=0, highest=MAX_TYPES - 1)
    return index, type_of_index(request, project, index)


def type_of_index(request: web.Request, project: Project, index: int) -> str:
    """
    Find a group type.

    Raises:
        NotFoundError: None has this index.
    """
    types = request.app[keys.CATALOG].project(project.id).group_types.types
    group_type = next((known.group_type for known in types if known.index == index), None)
    if group_type is None:
        raise NotFoundError(f"There is no group type with index {index}.")
    return group_type


def group_document(index: int, group_key: str, group: GroupState) -> dict[str, Any]:
    """Show a group as the API does."""
    return {
        "group_type_index": index,
        "group_key": group_key,
        "group_properties": group.values(),
        "created_at": iso_time(group.created_at_ms),
    }


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("GET", f"{root}/groups_types", list_types),
        *route("POST", f"{root}/groups_types", add_type),
        *route("GET", f"{root}/groups_types/refused", list_refused_types),
        *route("PATCH", f"{root}/groups_types/update_metadata", name_types),
        *route("PUT", f"{root}/groups_types/set_default_columns", set_default_columns),
        *route("GET", f"{root}/groups", list_groups),
        *route("GET", f"{root}/groups/find", find_group),
    )
)
