"""Cohorts of persons and of groups, for holders of the secret key."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from flagstream.errors import ConflictError, InvalidDefinitionError, Problem
from flagstream.management import COHORT_READ_ONLY, check_static, find_cohort
from flagstream.openapi import Answer, AnyOf, Body, described
from flagstream.state.access import Scope

from . import keys
from .auth import caller_of, editor_of, project_of_key
from .bodies import read_object
from .pages import API_ROOTS, list_document, path_id
from .responses import json_response, route
from .shapes import cohorts as shapes
from .shapes.common import PAGING, SEARCH

Row = Mapping[str, Any]


@described(Answer(shapes.Cohorts), parameters=[SEARCH, *PAGING], access=Scope.FLAGS_READ)
async def list_cohorts(request: web.Request) -> web.Response:
    """List the cohorts that are not deleted, the newest first."""
    project = project_of_key(request)
    rows = _matching(request, request.app[keys.CATALOG].project(project.id).cohort_rows.values())
    return json_response(list_document(request, rows, cohort_document))


def _matching(request: web.Request, cohort_rows: Iterable[Row]) -> list[Row]:
    search = request.query.get("search", "").lower()
    matching = [row for row in cohort_rows if not row["deleted"] and search in row["name"].lower()]
    return sorted(matching, key=_age, reverse=True)


def _age(row: Row) -> tuple[datetime, int]:
    # Ids tell nothing alone: those of imported cohorts are kept.
    return datetime.fromisoformat(row["created_at"]), row["id"]


@described(Answer(shapes.Cohort, status=201), body=shapes.NEW_COHORT, access=Scope.FLAGS_WRITE)
async def create_cohort(request: web.Request) -> web.Response:
    """Add a cohort."""
    editor = editor_of(request)
    body = await read_object(request)
    row = await request.app[keys.MANAGEMENT].create_cohort(editor, body)
    return json_response(cohort_document(row), status=201)


@described(Answer(shapes.CohortWithMembers), access=Scope.FLAGS_READ)
async def get_cohort(request: web.Request) -> web.Response:
    """
    Read a cohort, deleted or not, with its members if it is static.

    Keys that cannot write flags are told no members.
    """
    project = project_of_key(request)
    snapshot = request.app[keys.CATALOG].project(project.id)
    row = find_cohort(snapshot, cohort_id(request))
    document = cohort_document(row)
    # Backends hold keys that read flags, and who is in a cohort is nothing that these need.
    if caller_of(request).allows(Scope.FLAGS_WRITE):
        document["members"] = row["members"]
    return json_response(document)


@described(
    Answer(AnyOf(shapes.PersonMembers, shapes.GroupMembers)),
    parameters=PAGING,
    access=Scope.FLAGS_WRITE,
)
async def list_members(request: web.Request) -> web.Response:
    """List the members of a static cohort, in the order in which they were added."""
    project = project_of_key(request)
    row = find_cohort(request.app[keys.CATALOG].project(project.id), cohort_id(request))
    check_static(row)
    index = row.get("group_type_index")

    def document(member: str) -> Row:
        if index is None:
            return {"type": "person", "id": member, "distinct_ids": [member]}
        return {"type": "group", "id": member, "group_type_index": index, "group_key": member}

    return json_response(list_document(request, row["members"], document))


@described(
    Answer(shapes.Cohort),
    body=shapes.COHORT_CHANGE,
    refusals=[ConflictError],
    access=Scope.FLAGS_WRITE,
)
async def update_cohort(request: web.Request) -> web.Response:
    """Change the named members of a cohort; a PUT leaves the others alone as well."""
    editor = editor_of(request)
    body = await read_object(request)
    row = await request.app[keys.MANAGEMENT].update_cohort(editor, cohort_id(request), body)
    return json_response(cohort_document(row))


@described(Answer(shapes.Cohort), body=Body(shapes.Members), access=Scope.FLAGS_WRITE)
async def add_members(request: web.Request) -> web.Response:
    """Add to the members of a static cohort."""
    return await _add(request, "members")


@described(Answer(shapes.Cohort), body=Body(shapes.PersonIds), access=Scope.FLAGS_WRITE)
async def add_persons(request: web.Request) -> web.Response:
    """Add to the members of a static cohort, as PostHog spells it; persons are distinct ids."""
    return await _add(request, "person_ids")


async def _add(request: web.Request, name: str) -> web.Response:
    editor = editor_of(request)
    members = _texts(await read_object(request), name)
    row = await request.app[keys.MANAGEMENT].add_members(editor, cohort_id(request), members)
    return json_response(cohort_document(row))


@described(Answer(shapes.Cohort), body=Body(shapes.Members), access=Scope.FLAGS_WRITE)
async def remove_members(request: web.Request) -> web.Response:
    """Take members out of a static cohort."""
    editor = editor_of(request)
    members = _texts(await read_object(request), "members")
    management = request.app[keys.MANAGEMENT]
    row = await management.remove_members(editor, cohort_id(request), members)
    return json_response(cohort_document(row))


def _texts(body: Row, name: str) -> list[str]:
    values = body.get(name)
    if not isinstance(values, list):
        expected = "a list of distinct ids or group keys"
        raise InvalidDefinitionError([Problem(path=f"$.{name}", expected=expected, got=values)])
    problems = [
        Problem(path=f"$.{name}[{index}]", expected="a text", got=value)
        for index, value in enumerate(values)
        if not isinstance(value, str)
    ]
    if problems:
        raise InvalidDefinitionError(problems)
    return values


def cohort_id(request: web.Request) -> int:
    """Read the id in the path."""
    return path_id(request, "cohort")


def cohort_document(row: Row) -> dict[str, Any]:
    """Show a row without its members, of which there may be thousands."""
    shown = {name: value for name, value in row.items() if name != "members"}
    count = len(row["members"]) if row["is_static"] else None
    return {**COHORT_READ_ONLY, **shown, "count": count}


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("GET", f"{root}/cohorts", list_cohorts),
        *route("POST", f"{root}/cohorts", create_cohort),
        *route("GET", f"{root}/cohorts/{{id}}", get_cohort),
        *route("PATCH", f"{root}/cohorts/{{id}}", update_cohort),
        *route("PUT", f"{root}/cohorts/{{id}}", update_cohort),
        *route("GET", f"{root}/cohorts/{{id}}/persons", list_members),
        *route("POST", f"{root}/cohorts/{{id}}/add_members", add_members),
        *route("POST", f"{root}/cohorts/{{id}}/remove_members", remove_members),
        # PostHog's own is a PATCH.
        *route("POST", f"{root}/cohorts/{{id}}/add_persons_to_static_cohort", add_persons),
        *route("PATCH", f"{root}/cohorts/{{id}}/add_persons_to_static_cohort", add_persons),
    )
)
