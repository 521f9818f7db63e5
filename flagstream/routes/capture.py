"""Events in, on every path that clients know."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from aiohttp import hdrs, web

from flagstream.errors import (
    InvalidEventError,
    InvalidRequestError,
    OverloadedError,
    UnavailableError,
)
from flagstream.openapi import Access, Answer, Body, Parameter, described
from flagstream.ports import Project
from flagstream.wire import (
    Captured,
    CaptureHeaders,
    EventLimits,
    Rejection,
    load_json,
    parse_capture,
    parse_capture_v1,
    results,
)

from . import keys
from .auth import bearer, project_of_token
from .bodies import decoded, read_body
from .position import POSITION_HEADER, positioned
from .responses import client_route, json_response
from .shapes import capture as shapes

_METHODS = (hdrs.METH_POST, hdrs.METH_GET)
_BATCH_PATHS = ("/batch", "/i/v0/ai/batch", "/i/v0/ai")
_EVENT_PATHS = ("/e", "/i/v0/e", "/capture", "/track", "/engage")
_DEFAULT_NAMES = {"/engage": "$identify"}
_MANY_EVENTS = 10
_PARAMETERS = (
    Parameter(name="data", shape=str, text="Goes before the body, likewise encoded: for pixels."),
    Parameter(name="compression", shape=str, text="Of what cannot be told by looking."),
    Parameter(name="wait", shape=str, text="`1`: answered once flags are answered from them."),
    Parameter(name="_", shape=str, text="The client's time of sending, in Unix milliseconds."),
)


@described(
    Answer(shapes.Captured, headers=POSITION_HEADER),
    access=Access.PUBLIC_TOKEN,
    parameters=_PARAMETERS,
    body=shapes.EVENTS,
    refusals=[OverloadedError],
)
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
    _take(request, project, captured)
    ingested = await request.app[keys.INGEST].ingest(project.id, captured)
    if ingested.is_empty:
        first = ingested.rejections[0]
        raise InvalidRequestError(first.detail, code=InvalidEventError.code, attr=first.field)
    answer: dict[str, Any] = {"status": 1}
    if ingested.rejections:
        answer["rejected"] = _rejected(ingested.rejections)
    if request.query.get("wait") == "1":
        timeout_s = request.app[keys.SETTINGS].wait_timeout_s
        progress = request.app[keys.PROGRESS]
        answer["applied"] = await progress.wait_visible(ingested.positions, timeout_s)
    return positioned(json_response(answer, request=request), ingested.positions)


@described(
    Answer(shapes.Captured, headers=POSITION_HEADER),
    access=Access.PUBLIC_TOKEN,
    parameters=_PARAMETERS,
    body=shapes.EVENTS,
)
async def capture_from_pages(request: web.Request) -> web.Response:
    """Answer as :func:`capture`, but overload with 503: posthog-js throws away what gets a 429."""
    try:
        return await capture(request)
    except OverloadedError as error:
        raise UnavailableError(error.detail, retry_after_s=error.retry_after_s) from None


@described(
    Answer(shapes.ResultsV1, headers=POSITION_HEADER),
    access=Access.BEARER_TOKEN,
    body=Body(shapes.BatchV1),
    refusals=[OverloadedError],
)
async def capture_v1(request: web.Request) -> web.Response:
    """Answer each event by its uuid, once all that are kept are durable."""
    request.app[keys.ADMISSION].admit()
    headers = CaptureHeaders(
        token=bearer(request),
        sdk=request.headers.get("PostHog-Sdk-Info", ""),
        sent_at=request.headers.get("PostHog-Request-Timestamp"),
    )
    project = project_of_token(request, headers.token)
    settings, now_ms = request.app[keys.SETTINGS], request.app[keys.CLOCK_MS]()
    captured = await decoded(
        request,
        await read_body(request, settings.max_body_bytes),
        partial(
            _parse_v1,
            max_depth=settings.max_json_depth,
            headers=headers,
            received_ms=now_ms,
            limits=request.app[keys.EVENT_LIMITS],
        ),
        max_bytes=settings.max_body_bytes,
        query=request.query,
    )
    _take(request, project, captured)
    ingested = await request.app[keys.INGEST].ingest(project.id, captured)
    answer = {"results": results(captured, ingested.rejections)}
    return positioned(json_response(answer, request=request), ingested.positions)


def _take(request: web.Request, project: Project, captured: Captured) -> None:
    """
    Count the events for their project: all, or none, as clients send a batch again as it was.

    Raises:
        RateLimitError: The project has used up its rate.
    """
    settings = request.app[keys.CATALOG].project(project.id).settings
    count = len(captured.events) + len(captured.rejections)
    request.app[keys.RATES].events.take(project.id, settings.max_events_per_s, count)


def _parse_v1(
    raw: bytes, *, max_depth: int, headers: CaptureHeaders, received_ms: int, limits: EventLimits
) -> Captured:
    decoded = load_json(raw, max_depth)
    return parse_capture_v1(decoded, headers, received_ms=received_ms, limits=limits)


async def _read(request: web.Request) -> Captured:
    settings, path = request.app[keys.SETTINGS], request.path.rstrip("/")
    is_batch = path in _BATCH_PATHS
    max_bytes = settings.max_body_bytes if is_batch else settings.max_event_body_bytes
    raw = await read_body(request, max_bytes)
    limits, received_ms = request.app[keys.EVENT_LIMITS], request.app[keys.CLOCK_MS]()

    def parse(unwrapped: bytes) -> Captured:
        return parse_capture(
            load_json(unwrapped, settings.max_json_depth),
            request.query,
            received_ms=received_ms,
            default_name=_DEFAULT_NAMES.get(path, ""),
            limits=limits,
        )

    return await decoded(request, raw, parse, max_bytes=max_bytes, query=request.query)


def _rejected(rejections: Sequence[Rejection]) -> list[dict[str, Any]]:
    return [
        {"index": each.index, "uuid": each.uuid, "field": each.field, "detail": each.detail}
        for each in sorted(rejections, key=lambda each: each.index)
    ]


routes = (
    *(
        definition
        for paths, handler in ((_BATCH_PATHS, capture), (_EVENT_PATHS, capture_from_pages))
        for path in paths
        for definition in client_route(_METHODS, path, handler)
    ),
    *client_route([hdrs.METH_POST], "/i/v1/analytics/events", capture_v1),
)
