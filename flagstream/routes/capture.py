"""Events in, on every path that clients know."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from aiohttp import hdrs, web

from flagstream.wire import Captured, Rejection, decode_body, parse_capture

from . import keys
from .auth import project_of_token
from .position import POSITION, written
from .responses import client_route, json_response

_METHODS = (hdrs.METH_POST, hdrs.METH_GET)
_BATCH_PATHS = ("/batch", "/i/v0/ai/batch", "/i/v0/ai")
_EVENT_PATHS = ("/e", "/i/v0/e", "/capture", "/track", "/engage")
_DEFAULT_NAMES = {"/engage": "$identify"}
_MANY_EVENTS = 10


async def capture(request: web.Request) -> web.Response:
    """
    Answer once the events are durable; with ``wait=1`` once flags are answered from them.

    The answer says how far a node has to be to answer flags from them.
    """
    request.app[keys.ADMISSION].admit()
    captured = await _read(request)
    if len(captured.events) > _MANY_EVENTS:
        # Flag requests go between the decoding of a large batch and its planning.
        await asyncio.sleep(0)
    project = project_of_token(request, captured.token)
    ingested = await request.app[keys.INGEST].ingest(project.id, captured)
    answer: dict[str, Any] = {"status": 1}
    if ingested.rejections:
        answer["rejected"] = _rejected(ingested.rejections)
    if request.query.get("wait") == "1":
        timeout_s = request.app[keys.SETTINGS].wait_timeout_s
        progress = request.app[keys.PROGRESS]
        answer["applied"] = await progress.wait_visible(ingested.positions, timeout_s)
    response = json_response(answer, request=request)
    if (position := written(ingested.positions)) is not None:
        response.headers[POSITION] = position
    return response


async def _read(request: web.Request) -> Captured:
    settings, path = request.app[keys.SETTINGS], request.path.rstrip("/")
    is_batch = path in _BATCH_PATHS
    decoded = decode_body(
        await request.read(),
        query=request.query,
        content_encoding=request.headers.get(hdrs.CONTENT_ENCODING),
        max_bytes=settings.max_body_bytes if is_batch else settings.max_event_body_bytes,
        max_depth=settings.max_json_depth,
    )
    return parse_capture(
        decoded,
        request.query,
        received_ms=request.app[keys.CLOCK_MS](),
        default_name=_DEFAULT_NAMES.get(path, ""),
    )


def _rejected(rejections: Sequence[Rejection]) -> list[dict[str, Any]]:
    documents = [asdict(each) for each in sorted(rejections, key=lambda each: each.index)]
    for document in documents:
        del document["event"]
    return documents


routes = (
    *(
        definition
        for path in (*_BATCH_PATHS, *_EVENT_PATHS)
        for definition in client_route(_METHODS, path, capture)
    ),
)
