"""The events that were accepted last, for holders of the secret key."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from flagstream.errors import InvalidFieldError
from flagstream.management import iso_time
from flagstream.newest import Wanted
from flagstream.openapi import Answer, Parameter, described
from flagstream.ports import LogRecord
from flagstream.state.access import Scope
from flagstream.state.events import EventRecord
from flagstream.topics import Topic, record_key
from flagstream.wire import unix_ms

from .auth import project_of_key
from .newest_page import PARAMETERS, decoded, newest_page
from .pages import API_ROOTS
from .responses import route
from .shapes.common import Time
from .shapes.events import StoredEvents


@described(
    Answer(StoredEvents),
    parameters=[
        Parameter(name="event", shape=str, text="Their name."),
        Parameter(name="distinct_id", shape=str, text="Of whom they are."),
        Parameter(name="after", shape=Time, text="When they happened at the earliest."),
        Parameter(name="before", shape=Time, text="When they happened at the latest."),
        *PARAMETERS,
    ],
    access=Scope.EVENTS_READ,
)
async def list_events(request: web.Request) -> web.Response:
    """List events, the one that was accepted last first, as far as the log reaches."""
    project = project_of_key(request)
    distinct_id, after_ms = request.query.get("distinct_id"), _time_ms(request, "after")
    wanted = Wanted(
        select=_selection(project.id, _filter(request, after_ms)),
        key=record_key(project.id, distinct_id) if distinct_id else None,
        # No event counts as later than it was accepted.
        after_ms=-1 if after_ms is None else after_ms,
    )
    return await newest_page(request, Topic.EVENTS, wanted)


def _filter(request: web.Request, after_ms: int | None) -> Callable[[EventRecord], bool]:
    name, before_ms = request.query.get("event"), _time_ms(request, "before")

    def is_wanted(event: EventRecord) -> bool:
        # A time in the future comes from a clock that is wrong.
        time_ms = min(event.time_ms, event.received_ms)
        return (
            (not name or event.event == name)
            and (after_ms is None or time_ms > after_ms)
            and (before_ms is None or time_ms < before_ms)
        )

    return is_wanted


def _time_ms(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    time_ms = unix_ms(text)
    if text is not None and time_ms is None:
        raise InvalidFieldError(name, "a time as ISO 8601 has it", text)
    return time_ms


def _selection(
    project_id: int, is_wanted: Callable[[EventRecord], bool]
) -> Callable[[LogRecord], Mapping[str, Any] | None]:
    mine = record_key(project_id)[:-1] + b","
    shown: set[str] = set()

    def select(record: LogRecord) -> Mapping[str, Any] | None:
        event = decoded(EventRecord, record) if record.key.startswith(mine) else None
        # A client that was not answered in time sends again.
        if event is None or event.uuid in shown or not is_wanted(event):
            return None
        shown.add(event.uuid)
        return _document(event)

    return select


def _document(event: EventRecord) -> Mapping[str, Any]:
    return {
        "id": event.uuid,
        "uuid": event.uuid,
        "event": event.event,
        "distinct_id": event.distinct_id,
        "timestamp": iso_time(event.time_ms),
        "received_at": iso_time(event.received_ms),
        "properties": event.properties,
        "groups": event.groups,
        "session_id": event.session_id,
    }


routes = tuple(
    definition for root in API_ROOTS for definition in route("GET", f"{root}/events", list_events)
)
