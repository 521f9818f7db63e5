"""Whether the process lives, whether it can answer, and its metrics."""

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

import flagstream

from . import keys
from .responses import json_response, route


async def greet(_request: web.Request) -> web.Response:
    """Say what runs here."""
    return json_response({"name": "flagstream", "version": flagstream.__version__})


async def live(request: web.Request) -> web.Response:
    """Answer 200 while the event loop runs, and the agents if they are watched."""
    return _status(request.app[keys.IS_ALIVE](), "live", "stalled")


async def ready(request: web.Request) -> web.Response:
    """Answer 200 once recovered and caught up."""
    return _status(request.app[keys.IS_READY](), "ready", "starting")


def _status(is_good: bool, good: str, bad: str) -> web.Response:  # noqa: FBT001 -- what is told
    return json_response({"status": good if is_good else bad}, status=200 if is_good else 503)


async def metrics(request: web.Request) -> web.Response:
    """Write the metrics in the text format of Prometheus."""
    body = await request.app[keys.METRICS]()
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


_health = (
    *route("GET", "/_liveness", live),
    *route("GET", "/_readiness", ready),
    *route("GET", "/metrics", metrics),
)
PATHS = frozenset(definition.path for definition in _health)
routes = (web.RouteDef("GET", "/", greet, {}), *_health)
