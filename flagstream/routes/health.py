"""Whether the process lives, whether it can answer, and its metrics."""

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

import flagstream

from . import keys
from .responses import json_response, route


async def greet(_request: web.Request) -> web.Response:
    """Say what runs here."""
    return json_response({"name": "flagstream", "version": flagstream.__version__})


async def live(_request: web.Request) -> web.Response:
    """Answer while the event loop runs."""
    return json_response({"status": "live"})


async def ready(request: web.Request) -> web.Response:
    """Answer 200 once recovered and caught up."""
    is_ready = request.app[keys.IS_READY]()
    return json_response(
        {"status": "ready" if is_ready else "starting"}, status=200 if is_ready else 503
    )


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
