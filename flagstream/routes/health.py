"""Whether the process lives, whether it can answer, and its metrics."""

from typing import Literal

from aiohttp import web
from msgspec import Struct
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from flagstream.openapi import Access, Answer, described

from . import keys
from .responses import json_response, route


class Greeting(Struct):
    """What runs here."""

    name: Literal["flagstream"]


class Liveness(Struct):
    """Whether the process lives."""

    status: Literal["live", "stalled"]


class Readiness(Struct):
    """Whether it answers."""

    status: Literal["ready", "starting"]


@described(Answer(Greeting), access=Access.NOTHING)
async def greet(_request: web.Request) -> web.Response:
    """Say what runs here."""
    # Not which version: strangers may ask.
    return json_response({"name": "flagstream"})


@described(Answer(Liveness), Answer(Liveness, status=503, text="Stalled."), access=Access.NOTHING)
async def live(request: web.Request) -> web.Response:
    """Answer 200 while the event loop runs, and the agents if they are watched."""
    return _status(request.app[keys.IS_ALIVE](), "live", "stalled")


@described(
    Answer(Readiness), Answer(Readiness, status=503, text="Still starting."), access=Access.NOTHING
)
async def ready(request: web.Request) -> web.Response:
    """Answer 200 once recovered and caught up."""
    return _status(request.app[keys.IS_READY](), "ready", "starting")


def _status(is_good: bool, good: str, bad: str) -> web.Response:  # noqa: FBT001 -- what is told
    return json_response({"status": good if is_good else bad}, status=200 if is_good else 503)


@described(Answer(str, media="text/plain"), access=Access.NOTHING)
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
