"""Streams of changes: server-sent events, for as long as a client stays."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import hdrs, web

from flagstream.errors import (
    InvalidRequestError,
    OverloadedError,
    QuotaExceededError,
    RateLimitError,
    RequestError,
    UnauthenticatedError,
)
from flagstream.openapi import Access, Answer, Parameter, described
from flagstream.state.access import Scope
from flagstream.streams import HEARTBEAT, Connection, Sight, Watch
from flagstream.wire import read_ofrep_request

from . import keys, ofrep_items
from .auth import asking, bearer, project_of_key
from .flag_answers import Asked, FlagService
from .ofrep import STREAM_PATH, admitted
from .responses import client_route, complete_headers, json_headers, route

_EVENTS = "text/event-stream"
_HEARTBEAT_S = 15.0
_LAST_ID = "Last-Event-ID"
STREAM = Answer(str, media=_EVENTS, text="Events, without end.")
LAST_ID = Parameter(
    name=_LAST_ID, shape=str, text="Of the last event that the client has.", place="header"
)


@described(STREAM, access=Scope.GROUPS_READ, parameters=[LAST_ID], refusals=[OverloadedError])
async def changes(request: web.Request) -> web.StreamResponse:
    """
    Tell of every flag that answers otherwise, and of every group that it answers otherwise.

    Who comes back names the last event that it has: what was missed follows, or ``resync`` where
    that is not known any more.
    """
    project, streams = project_of_key(request), request.app[keys.STREAMS]
    connection = streams.open(project.id, lambda: abort(request))
    try:
        streams.feed.join(connection, last_id(request))

        async def check() -> None:
            await asking(request, bearer(request), Scope.GROUPS_READ)

        return await written(request, connection, check)
    finally:
        streams.feed.leave(connection)
        streams.close(connection)


@described(
    STREAM,
    access=Access.NOTHING,
    parameters=[
        Parameter(name="channel", shape=str, text="As a bulk answer names it.", is_required=True),
        Parameter(name="etag", shape=str, text="Of that answer."),
        LAST_ID,
    ],
    refusals=[
        OverloadedError,
        UnauthenticatedError,
        InvalidRequestError,
        RateLimitError,
        QuotaExceededError,
    ],
)
async def refetches(request: web.Request) -> web.StreamResponse:
    """
    Tell a page that its flags answer otherwise, and nothing of them: it asks again.

    Its address is in the answer that it got; it is for that context alone, and for a day at least.
    """
    service, streams = request.app[keys.FLAGS], request.app[keys.STREAMS]
    address = request.query.get("channel", "")
    look, project_id = _look(service, address)

    async def check() -> None:
        project = service.projects.by_id(project_id)
        if project is None or project.is_archived:
            raise UnauthenticatedError("The project of this address is archived.")

    await check()
    admitted(service, project_id)
    connection = streams.open(project_id, lambda: abort(request), is_public=True)
    try:
        watch = Watch(connection, look)
        streams.watches.join(watch, last_id(request) or request.query.get("etag", ""))
        try:
            return await written(request, connection, check)
        finally:
            streams.watches.leave(watch)
    finally:
        streams.close(connection)


def _look(service: FlagService, address: str) -> tuple[Callable[[], Sight], int]:
    """Make what evaluates the flags of a channel, and tell whose they are."""
    channel = service.channels.read(address, service.clock_ms())
    request = read_ofrep_request(channel.body, service.limits.json_depth)

    def look() -> Sight:
        asked = Asked(channel.project_id, request, service.clock_ms(), channel.runtime)
        parts = service.answers.ofrep(asked)
        said = sum(part.said for part in parts)
        return Sight(ofrep_items.etag(address, parts), said, *service.answers.sources(asked))

    return look, channel.project_id


def last_id(request: web.Request) -> str:
    """Read the last event that a client has; "" for none."""
    return request.headers.get(_LAST_ID, "")


def abort(request: web.Request) -> None:
    """Cut the connection: who writes to it does not wait any more."""
    if request.transport is not None:
        request.transport.abort()


async def written(
    request: web.Request, connection: Connection, check: Callable[[], Awaitable[None]]
) -> web.StreamResponse:
    """
    Write what is sent to a client, until either side has enough.

    Args:
        check: Raises a RequestError once the client may not be told any more.
    """
    streams = request.app[keys.STREAMS]
    is_public = connection.is_public
    headers = json_headers(request.headers.get(hdrs.ORIGIN) if is_public else None).copy()
    # A proxy that waits for more before it passes anything on would pass on nothing.
    headers[hdrs.CONTENT_TYPE] = _EVENTS
    headers[hdrs.CACHE_CONTROL] = "no-store"
    headers["X-Accel-Buffering"] = "no"
    response = web.StreamResponse(headers=headers)
    complete_headers(response, is_private=not is_public)
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    with suppress(ConnectionResetError):  # the client has gone
        with suppress(RequestError):  # who comes back is told why
            while (chunk := await connection.receive(_HEARTBEAT_S)) is not None:
                if not chunk and not streams.is_ready():
                    break
                await check()
                await response.write(chunk or HEARTBEAT)
        await response.write_eof()
    return response


routes = (
    *route("GET", "/api/stream", changes),
    *client_route(["GET"], STREAM_PATH, refetches),
)
