"""What flags answer to one user, and whom a condition would reach, for who holds the secret key."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import orjson
from aiohttp import web
from msgspec import Meta

from flagstream.census import reach
from flagstream.errors import InvalidDefinitionError, InvalidFieldError, Problem
from flagstream.flags import Evaluation, parse_flag
from flagstream.management import check_flag
from flagstream.openapi import Answer, Body, Parameter, described
from flagstream.ports import Project, ProjectSnapshot
from flagstream.slices import in_slices
from flagstream.state.access import Scope
from flagstream.state.group_types import MAX_TYPES
from flagstream.wire import parse_flags_request

from . import keys
from .auth import project_of_key
from .bodies import read_object
from .flag_answers import Asked
from .groups import type_of_index
from .management import flag_document
from .pages import API_ROOTS
from .responses import json_response, route
from .shapes import flag_evaluations as shapes

_CONDITION, _IN_FLAG = "$.condition", "$.filters.groups[0]"
_AGGREGATION = "aggregation_group_type_index"
_WHOSE = (
    Parameter(
        name="distinct_id",
        shape=Annotated[str, Meta(min_length=1)],
        text="Of whom.",
        is_required=True,
    ),
    Parameter(
        name="groups", shape=str, text="The groups that the user acts for, as JSON: key by type."
    ),
)


@described(Answer(list[shapes.FlagValue]), parameters=_WHOSE, access=Scope.FLAGS_READ)
async def list_values(request: web.Request) -> web.Response:
    """List all active flags, each with its value for one user."""
    project = project_of_key(request)
    rows = request.app[keys.CATALOG].project(project.id).flag_rows
    return json_response(
        [
            {"feature_flag": flag_document(rows[each.key]), "value": each.value}
            for each in _evaluations(request, project)
        ]
    )


@described(Answer(dict[str, shapes.ValueReason]), parameters=_WHOSE, access=Scope.FLAGS_READ)
async def list_reasons(request: web.Request) -> web.Response:
    """Say of each flag, by its key, what it is for one user, and why."""
    project = project_of_key(request)
    evaluations = _evaluations(request, project)
    disabled = request.app[keys.CATALOG].project(project.id).project.disabled.values()
    return json_response({each.key: _reason(each) for each in (*evaluations, *disabled)})


def _reason(evaluation: Evaluation) -> Mapping[str, Any]:
    return {
        "value": evaluation.value,
        "evaluation": {
            "reason": evaluation.reason,
            "condition_index": evaluation.condition_index,
            "description": evaluation.description,
        },
    }


def _evaluations(request: web.Request, project: Project) -> Sequence[Evaluation]:
    distinct_id, groups = request.query.get("distinct_id"), request.query.get("groups")
    if not distinct_id:
        raise InvalidFieldError("distinct_id", "the id of a user", distinct_id)
    named = {"distinct_id": distinct_id, "groups": _object(groups)}
    asked = parse_flags_request({"token": project.token, **named}, {})
    now_ms = request.app[keys.CLOCK_MS]()
    return request.app[keys.FLAGS].answers.evaluate_all(Asked(project.id, asked, now_ms))


def _object(text: str | None) -> Mapping[str, Any]:
    try:
        groups = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        groups = None
    if not isinstance(groups, dict):
        raise InvalidFieldError("groups", "a JSON object of group keys by type", text)
    return groups


@described(Answer(shapes.Reach), body=Body(shapes.ReachOf), access=Scope.FLAGS_WRITE)
async def count_reach(request: web.Request) -> web.Response:
    """
    Count the persons, or the groups of a type, that a condition matches.

    Its rollout does not count: whom that lets in follows from the key of the flag.
    """
    project = project_of_key(request)
    body = await read_object(request)
    snapshot = request.app[keys.CATALOG].project(project.id)
    row = _row(body, _type_index(request, project, body))
    _check(row, snapshot)
    whole = {**row["filters"]["groups"][0], "rollout_percentage": None, "variant": None}
    definition = parse_flag({**row, "filters": {**row["filters"], "groups": [whole]}})
    view, now_ms = request.app[keys.VIEW], request.app[keys.CLOCK_MS]()
    found = await in_slices(reach(view, project.id, snapshot.project, definition, now_ms))
    return json_response(
        {
            "users_affected": found.affected,
            "total_users": found.total,
            "affected": found.affected,
            "total": found.total,
            "is_complete": found.is_complete,
        }
    )


def _type_index(request: web.Request, project: Project, body: Mapping[str, Any]) -> int | None:
    index = body.get("group_type_index")
    if index is None:
        return None
    if type(index) is not int or not 0 <= index < MAX_TYPES:
        raise InvalidFieldError("group_type_index", f"a number below {MAX_TYPES} or null", index)
    type_of_index(request, project, index)
    return index


def _row(body: Mapping[str, Any], index: int | None) -> dict[str, Any]:
    """Write the flag that has nothing but the condition."""
    condition = body.get("condition")
    if not isinstance(condition, dict):
        raise InvalidFieldError("condition", "an object with properties", condition)
    own = condition.get(_AGGREGATION)
    if own is not None and (type(own) is not int or own != index):
        raise InvalidFieldError(f"condition.{_AGGREGATION}", f"{index}, as beside it", own)
    about = {_AGGREGATION: index}
    filters = {"groups": [{**condition, **about}], **about}
    return {"key": "condition", "active": True, "deleted": False, "filters": filters}


def _check(row: Mapping[str, Any], snapshot: ProjectSnapshot) -> None:
    """
    Check a condition as that of a flag is.

    Raises:
        InvalidDefinitionError: With the paths in what was sent.
    """
    try:
        parse_flag(row)
        check_flag(row, snapshot)
    except InvalidDefinitionError as error:
        raise InvalidDefinitionError(
            [
                Problem(
                    path=each.path.replace(_IN_FLAG, _CONDITION),
                    expected=each.expected,
                    got=each.got,
                )
                for each in error.problems
            ]
        ) from None


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("GET", f"{root}/feature_flags/my_flags", list_values),
        *route("GET", f"{root}/feature_flags/evaluation_reasons", list_reasons),
        *route("POST", f"{root}/feature_flags/user_blast_radius", count_reach),
    )
)
