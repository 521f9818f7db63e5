"""Which properties groups have, and which values, for holders of the secret key."""

from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta

from flagstream.census import Tally, property_names, property_values
from flagstream.errors import InvalidFieldError
from flagstream.openapi import Answer, Parameter, described
from flagstream.slices import in_slices
from flagstream.state.access import Scope

from . import keys
from .auth import project_of_key
from .groups import TYPE, asked_type
from .pages import API_ROOTS
from .responses import json_response, route
from .shapes import group_properties as shapes


@described(Answer(shapes.PropertyNames), access=Scope.GROUPS_READ)
async def list_names(request: web.Request) -> web.Response:
    """List the properties that groups have, by the index of their type."""
    project = project_of_key(request)
    view, catalog = request.app[keys.VIEW], request.app[keys.CATALOG]
    tallies = {
        str(each.index): await in_slices(property_names(view, project.id, each.group_type))
        for each in catalog.project(project.id).group_types.types
    }
    return json_response(
        {
            **{index: _counts(tally) for index, tally in tallies.items()},
            "examined": {index: tally.examined for index, tally in tallies.items()},
            "is_complete": all(tally.is_complete for tally in tallies.values()),
        }
    )


@described(
    Answer(shapes.PropertyValues),
    parameters=[
        TYPE,
        Parameter(
            name="key",
            shape=Annotated[str, Meta(min_length=1)],
            text="The property's name.",
            is_required=True,
        ),
        Parameter(name="value", shape=str, text="A part of the values, in any case."),
    ],
    access=Scope.GROUPS_READ,
)
async def list_values(request: web.Request) -> web.Response:
    """List the most frequent values of one property, or of those that have a part."""
    project = project_of_key(request)
    _, group_type = asked_type(request, project)
    name, part = request.query.get("key"), request.query.get("value", "")
    if not name:
        raise InvalidFieldError("key", "the name of a property", name)
    view = request.app[keys.VIEW]
    tally = await in_slices(property_values(view, project.id, group_type, name, part))
    return json_response(
        {
            "results": _counts(tally),
            "refreshing": False,
            "examined": tally.examined,
            "is_complete": tally.is_complete,
        }
    )


def _counts(tally: Tally) -> list[dict[str, Any]]:
    return [{"name": name, "count": count} for name, count in tally.found]


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("GET", f"{root}/groups/property_definitions", list_names),
        *route("GET", f"{root}/groups/property_values", list_values),
    )
)
