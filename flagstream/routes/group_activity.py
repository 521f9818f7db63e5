"""What became of one group, for holders of the secret key."""

from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from flagstream.management import iso_time
from flagstream.newest import Wanted
from flagstream.openapi import Answer, described
from flagstream.ports import LogRecord
from flagstream.state.access import Scope
from flagstream.state.groups import GroupUpdate
from flagstream.topics import Topic, record_key

from .auth import project_of_key
from .groups import NAMED, NamedGroup, named_group
from .newest_page import PARAMETERS, decoded, newest_page
from .pages import API_ROOTS
from .responses import route
from .shapes.group_activity import GroupChanges

_SCOPE = "Group"


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
    changes = list(_changes(update))
    return {
        "id": f"{record.partition}-{record.offset}",
        "user": None,
        "author": None,
        "source": "event" if update.uuid is not None else "api" if changes else "first_sight",
        "event_uuid": update.uuid,
        "activity": "updated" if changes else "created",
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


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in route("GET", f"{root}/groups/activity", list_changes)
)
