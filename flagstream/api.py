"""The HTTP application: what handlers are given, and the routes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from flagstream import ports, telemetry
from flagstream.census import Previews
from flagstream.ingest import Continuity, Ingest, Planner
from flagstream.management import (
    DefinitionsWriter,
    Management,
    ProjectManagement,
    Schedules,
    SecretKeyManagement,
    Turn,
    alone,
    carry_out,
)
from flagstream.rates import Rates
from flagstream.routes import keys
from flagstream.routes.channels import Channels
from flagstream.routes.flag_answers import FlagAnswers, FlagService, Limits
from flagstream.routes.position import CatchUp
from flagstream.routes.room import Room
from flagstream.routes.table import Traced, add_health, add_public_part, add_routes, always
from flagstream.settings import Settings
from flagstream.streams import Streams
from flagstream.wire import EventLimits


async def own_metrics() -> bytes:
    """Write the metrics of this process."""
    return telemetry.exposition()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """
    What HTTP needs from the rest of the process.

    Attributes:
        reader: Of what the log holds, for lists of what was written last.
        is_ready: Whether recovered and caught up; until then everything but health answers 503.
        is_alive: False where only a new start helps.
        clock_ms: Unix milliseconds now.
        channel_key: Encrypts the addresses of streams; the same in all processes of a server.
        metrics: Those of the whole server, in the text format of Prometheus.
        turn: Keeps other processes out while definitions are changed.
        traced: Makes a handler tell of its requests under a name, where that is wanted.
    """

    settings: Settings
    sink: ports.RecordSink
    reader: ports.TopicReader
    view: ports.StateView
    catalog: ports.Catalog
    changes: ports.ChangeSource
    progress: ports.Progress
    admission: ports.Admission
    projects: ports.Projects
    secret_keys: ports.SecretKeys
    callers: ports.Callers
    dead_letters: ports.DeadLetters
    warnings: ports.Warnings
    rates: Rates
    seen: ports.SeenEvents
    previews: Previews
    history: ports.GroupHistory
    is_ready: Callable[[], bool]
    clock_ms: Callable[[], int]
    channel_key: bytes
    metrics: Callable[[], Awaitable[bytes]] = own_metrics
    turn: Turn = alone
    is_alive: Callable[[], bool] = always
    traced: Traced | None = None


def create_health_app(
    is_ready: Callable[[], bool], is_alive: Callable[[], bool]
) -> web.Application:
    """Wire what a process serves that answers nothing but how it is."""
    app = web.Application()
    app[keys.IS_READY] = is_ready
    app[keys.IS_ALIVE] = is_alive
    app[keys.METRICS] = own_metrics
    add_health(app)
    return app


def create_public_app(whole: web.Application) -> web.Application:
    """Wire what strangers may ask of an application; all the rest is as if it were not there."""
    app = web.Application()
    for key, value in whole.items():
        app[key] = value
    add_public_part(app, whole)
    return app


def _carrying_out(
    schedules: Schedules, is_ready: Callable[[], bool]
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def carrying_out(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(carry_out(schedules, is_ready), name="schedules")
        yield
        task.cancel()

    return carrying_out


# The request itself is answered right in any case; what is waited for is the next one.
_CONTINUITY_WAIT_S = 0.25


def _event_limits(settings: Settings) -> EventLimits:
    return EventLimits(
        event_bytes=settings.max_event_bytes,
        properties=settings.max_properties,
        property_depth=settings.max_property_depth,
        state_bytes=settings.max_state_bytes,
    )


def create_app(services: Services) -> web.Application:
    """Wire the application, for :mod:`.routes.protocol` to serve: bodies are to arrive as sent."""
    app = web.Application()
    limits = _event_limits(services.settings)
    app[keys.SETTINGS] = services.settings
    app[keys.ROOM] = Room(services.settings.max_bodies_bytes)
    app[keys.READER] = services.reader
    app[keys.VIEW] = services.view
    app[keys.CATALOG] = services.catalog
    app[keys.PROGRESS] = services.progress
    app[keys.ADMISSION] = services.admission
    app[keys.PROJECTS] = services.projects
    app[keys.CALLERS] = services.callers
    app[keys.DEAD_LETTERS] = services.dead_letters
    app[keys.WARNINGS] = services.warnings
    app.on_cleanup.append(lambda _: services.warnings.close())
    app[keys.RATES] = services.rates
    app[keys.EVENT_LIMITS] = limits
    app[keys.IS_READY] = services.is_ready
    app[keys.IS_ALIVE] = services.is_alive
    app[keys.METRICS] = services.metrics
    app[keys.CLOCK_MS] = services.clock_ms
    app[keys.PREVIEWS] = services.previews
    app[keys.HISTORY] = services.history
    app[keys.INGEST] = Ingest(
        view=services.view,
        catalog=services.catalog,
        progress=services.progress,
        sink=services.sink,
        warnings=services.warnings,
        planner=Planner(services.seen, limits),
    )
    _add_management(app, services)
    app[keys.FLAGS] = FlagService(
        answers=FlagAnswers(services.catalog, services.view),
        catalog=services.catalog,
        continuity=Continuity(
            services.view,
            services.sink,
            services.progress,
            services.admission,
            clock_ms=services.clock_ms,
            wait_timeout_s=min(services.settings.wait_timeout_s, _CONTINUITY_WAIT_S),
        ),
        catch_up=CatchUp(
            progress=services.progress,
            partitions=services.settings.partitions,
            timeout_s=services.settings.wait_timeout_s,
        ),
        projects=services.projects,
        clock_ms=services.clock_ms,
        limits=Limits(
            body_bytes=services.settings.max_event_body_bytes,
            json_depth=services.settings.max_json_depth,
        ),
        channels=Channels(services.channel_key),
        public_url=services.settings.public_url.rstrip("/"),
        rate=services.rates.flags,
        warnings=services.warnings,
    )
    _add_streams(app, services)
    add_routes(app, services.is_ready, services.traced)
    return app


def _add_streams(app: web.Application, services: Services) -> None:
    streams = app[keys.STREAMS] = Streams(
        services.changes,
        services.catalog,
        services.view,
        services.is_ready,
        max_per_project=services.settings.max_streams_per_project,
    )

    async def end(_: web.Application) -> None:
        await streams.end()

    app.on_shutdown.append(end)


def _add_management(app: web.Application, services: Services) -> None:
    writer = DefinitionsWriter(
        services.catalog,
        services.sink,
        services.progress,
        turn=services.turn,
        clock_ms=services.clock_ms,
        wait_timeout_s=services.settings.wait_timeout_s,
    )
    clock_ms = services.clock_ms
    app[keys.MANAGEMENT] = Management(writer, clock_ms=clock_ms)
    app[keys.PROJECT_MANAGEMENT] = ProjectManagement(
        writer, services.projects, services.view, clock_ms=clock_ms
    )
    app[keys.SECRET_KEYS] = SecretKeyManagement(writer, services.secret_keys, clock_ms=clock_ms)
    app[keys.SCHEDULES] = schedules = Schedules(
        services.catalog, services.view, writer, clock_ms=clock_ms
    )
    app.cleanup_ctx.append(_carrying_out(schedules, services.is_ready))
