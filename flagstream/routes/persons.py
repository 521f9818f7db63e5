"""Persons with their properties and ids, for holders of the secret key."""

from typing import Annotated, Any
from uuid import UUID, uuid5

from aiohttp import web
from msgspec import Meta

from flagstream.errors import NotFoundError
from flagstream.management import iso_time
from flagstream.openapi import Answer, Parameter, described
from flagstream.ports import Person, Project, Search
from flagstream.state.access import Scope

from . import keys
from .auth import project_of_key
from .pages import API_ROOTS, bounded_int, cursor_after, cursor_of, page_url
from .responses import json_response, route
from .shapes import persons as shapes
from .shapes.common import CURSOR, SEARCH

_PAGE = 100
_NAMESPACE = UUID("6f3c1f0e-4a47-5d52-9d0b-2f6a5b0e7c11")
# What people look persons up by, and call them.
_NAMES = ("email", "name", "username")


@described(
    Answer(shapes.Persons),
    parameters=[
        SEARCH,
        Parameter(name="distinct_id", shape=str, text="One of the person's ids."),
        Parameter(
            name="limit",
            shape=Annotated[int, Meta(ge=1, le=_PAGE)],
            text="How many a page has at most; 100 where it is not given.",
        ),
        CURSOR,
    ],
    access=Scope.EVENTS_READ,
)
async def list_persons(request: web.Request) -> web.Response:
    """List persons in the order of their first ids, or the one that has ``distinct_id``."""
    project = project_of_key(request)
    view = request.app[keys.VIEW]
    limit = bounded_int(request, "limit", default=_PAGE, highest=_PAGE)
    distinct_id = request.query.get("distinct_id")
    if distinct_id:
        person = view.person(project.id, distinct_id)
        results = [] if person is None else [_document(project, person)]
        return json_response({"next": None, "previous": None, "results": results})
    page = view.persons(
        project.id,
        search=Search(request.query.get("search") or "", _NAMES),
        after=cursor_after(request),
        limit=limit,
    )
    following = None if page.after is None else page_url(request, cursor_of(page.after))
    results = [_document(project, person) for person in page.persons]
    return json_response({"next": following, "previous": None, "results": results})


@described(Answer(shapes.Person), access=Scope.EVENTS_READ)
async def get_person(request: web.Request) -> web.Response:
    """Read the person who has a distinct id."""
    project = project_of_key(request)
    person = request.app[keys.VIEW].person(project.id, request.match_info["distinct_id"])
    if person is None:
        raise NotFoundError("There is no person with this id.")
    return json_response(_document(project, person))


def _document(project: Project, person: Person) -> dict[str, Any]:
    named = (person.properties.get(name) for name in _NAMES)
    name = next((each for each in named if isinstance(each, str) and each), person.distinct_id)
    return {
        "type": "person",
        "id": person.distinct_id,
        # Of the id that stays: there is nothing else to be told apart by.
        "uuid": str(uuid5(_NAMESPACE, f"{project.id}:{person.distinct_id}")),
        "name": name,
        "distinct_ids": list(person.distinct_ids),
        "properties": person.properties,
        "is_identified": person.is_identified,
        "created_at": iso_time(person.created_at_ms),
    }


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("GET", f"{root}/persons", list_persons),
        *route("GET", f"{root}/persons/{{distinct_id}}", get_person),
    )
)
