"""Streams of changes: server-sent events, for as long as a client stays."""

from aiohttp import hdrs, web

from flagstream.errors import OverloadedError
from flagstream.openapi import Answer, Parameter, described
from flagstream.streams import HEARTBEAT, Connection, Streams

from . import keys
from .auth import project_of_key
from .responses import json_headers, route

_EVENTS = "text/event-stream"
_HEARTBEAT_S = 15.0
_LAST_ID = "Last-Event-ID"
STREAM = Answer(str, media=_EVENTS, text="Events, without end.")
LAST_ID = Parameter(
    name=_LAST_ID, shape=str, text="Of the last event that the client has.", place="header"
)


@described(STREAM, parameters=[LAST_ID], refusals=[OverloadedError])
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
        return await written(request, streams, connection)
    finally:
        streams.feed.leave(connection)
        streams.close(connection)


def last_id(request: web.Request) -> str:
    """Read the last event that a client has; "" for none."""
    return request.headers.get(_LAST_ID, "")


def abort(request: web.Request) -> None:
    """Cut the connection: who writes to it does not wait any more."""
    if request.transport is not None:
        request.transport.abort()


async def written(
    request: web.Request, streams: Streams, connection: Connection
) -> web.StreamResponse:
    """Write what is sent to a client, until either side has enough."""
    headers = json_headers(request.headers.get(hdrs.ORIGIN)).copy()
    # A proxy that waits for more before it passes anything on would pass on nothing.
    headers[hdrs.CONTENT_TYPE] = _EVENTS
    headers[hdrs.CACHE_CONTROL] = "no-store"
    headers["X-Accel-Buffering"] = "no"
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    try:
        while (chunk := await connection.receive(_HEARTBEAT_S)) is not None:
            if not chunk and not streams.is_ready():
                break
            await response.write(chunk or HEARTBEAT)
        await response.write_eof()
    except ConnectionResetError:
        pass  # the client has gone
    return response


routes = route("GET", "/api/stream", changes)
