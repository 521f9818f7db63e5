"""What became of one group, for holders of the secret key."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from flagstream.errors import InvalidFieldError
from flagstream.management import iso_time
from flagstream.newest import Wanted
from flagstream.openapi import Answer, described
from flagstream.ports import KeptChange, LogRecord
from flagstream.state.access import Scope
from flagstream.state.groups import GroupUpdate
from flagstream.topics import Topic, record_key

from . import keys
from .auth import project_of_key
from .groups import NAMED, NamedGroup, named_group
from .newest_page import PAGE, PARAMETERS, decoded, newest_page
from .pages import API_ROOTS, bounded_int, cursor_after, cursor_of, page_url
from .responses import bytes_response, route
from .shapes.group_activity import GroupChanges, GroupHistory

_SCOPE = "Group"
_MOMENT = re.compile(r"([0-9]{1,15})-([0-9]{1,19})", re.ASCII)


@described(Answer(GroupChanges), parameters=[*NAMED, *PARAMETERS], access=Scope.GROUPS_READ)
async def list_changes(request: web.Request) -> web.Response:
    """List the changes of a group, the newest first, as far as the log reaches."""
    project = project_of_key(request)
    named = named_group(request, project)

    def select(record: LogRecord) -> Mapping[str, Any] | None:
        update = decoded(GroupUpdate, record)
        return None if update is None else _document(record, update, named)

    key = record_key(project.id, named.group_type, named.group_key)
    return await newest_page(request, Topic.GROUP_UPDATES, Wanted(select, key))


def _document(record: LogRecord, update: GroupUpdate, named: NamedGroup) -> Mapping[str, Any]:
    return _row(f"{record.partition}-{record.offset}", update, named, list(_changes(update)))


def _row(
    change_id: str, update: GroupUpdate, named: NamedGroup, changes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    is_update = bool(update.set or update.set_once or update.unset)
    return {
        "id": change_id,
        "user": None,
        "author": None,
        "source": "event" if update.uuid is not None else "api" if is_update else "first_sight",
        "event_uuid": update.uuid,
        "activity": "updated" if is_update else "created",
        "scope": _SCOPE,
        "item_id": named.group_key,
        "detail": {"name": named.group_key, "changes": changes},
        "created_at": iso_time(update.time_ms),
    }


def _changes(update: GroupUpdate) -> Iterator[Mapping[str, Any]]:
    for action, values in (("set_once", update.set_once), ("set", update.set)):
        for field, value in values.items():
            yield {"type": _SCOPE, "action": action, "field": field, "after": value}
    for field in update.unset:
        yield {"type": _SCOPE, "action": "unset", "field": field, "after": None}


@described(Answer(GroupHistory), parameters=[*NAMED, *PARAMETERS], access=Scope.GROUPS_READ)
async def list_history(request: web.Request) -> web.Response:
    """
    List what became of the properties of a group, each with what was there before.

    Kept for longer than the log is, and read at once; properties that an update named and did not
    change are left out.
    """
    project = project_of_key(request)
    named = named_group(request, project)
    page = request.app[keys.HISTORY].changes(
        (project.id, named.group_type, named.group_key),
        named.group,
        after=_after(request),
        limit=bounded_int(request, "limit", default=PAGE, highest=PAGE),
    )
    results = [_kept_document(each, named) for each in page.changes]
    following = None
    if page.after is not None:
        following = page_url(request, cursor_of("-".join(map(str, page.after))))
    body = {"next": following, "previous": None, "results": results}
    return bytes_response(msgspec.json.encode(body))


def _after(request: web.Request) -> tuple[int, int] | None:
    if "cursor" not in request.query:
        return None
    found = _MOMENT.fullmatch(cursor_after(request) or "")
    if found is None:
        raise InvalidFieldError("cursor", "that of a page's address", request.query["cursor"])
    return int(found[1]), int(found[2])


def _kept_document(change: KeptChange, named: NamedGroup) -> Mapping[str, Any]:
    changes = [
        {
            "type": _SCOPE,
            "action": each.action,
            "field": each.name,
            "before": each.before,
            "is_before_known": each.is_before_known,
            "after": each.after,
        }
        for each in change.properties
    ]
    row = _row(str(change.version), change.update, named, changes)
    return {**row, "ingested_at": iso_time(change.time_ms)}


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("GET", f"{root}/groups/activity", list_changes),
        *route("GET", f"{root}/groups/history", list_history),
    )
)
