"""The composition root: settings become a running process."""

import asyncio
import logging
import math
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import faust

import flagstream
from flagstream import telemetry
from flagstream.agents import Folding, register
from flagstream.agents.folding import FoldProgress
from flagstream.api import create_app, create_health_app
from flagstream.banner import banner, worker_banner
from flagstream.checkpoints import lending
from flagstream.errors import UnavailableError
from flagstream.expiry import forget_for_ever
from flagstream.keys import operator_key, project_token
from flagstream.management import take_over_kept_secret
from flagstream.ports import Append, Position, RecordSink, TopicPartition
from flagstream.processes import WORKER, Feed, Supervisor, WorkerSide
from flagstream.serving import Log, clock_ms, listening, reserved_port, run, services, settle
from flagstream.settings import Settings
from flagstream.topics import APP_ID, Table
from flagstream.tracing import CarryingSink, Tracing, exporting
from flagstream.transport.opening import OpenLog, opened
from flagstream.views import FollowedViews, Peers, ReadSide, SeenEvents, Watermarks, open_store
from flagstream.watchdog import Watchdog

logger = logging.getLogger(__name__)

_DAY_S = 86_400
_FORGET_INTERVAL_S = 3_600


def serve(settings: Settings) -> None:
    """
    Run until SIGTERM or SIGINT.

    Raises:
        FlagstreamError: The start is not possible; the message says what to do.
    """
    run(settings, lambda stop: _serve(settings, stop), _name(settings))


def _name(settings: Settings) -> str:
    """Name this process, as one of several."""
    return WORKER if settings.api_processes else settings.role


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    async with running(settings) as node:
        if settings.log_format == "text":
            sys.stdout.write(_banner(settings, node.port) + "\n")
            sys.stdout.flush()
        else:
            facts = {"port": node.port, "role": settings.role, "version": flagstream.__version__}
            logger.info("Ready", extra=facts)
        settle()
        await node.wait(stop)


def _watched(settings: Settings, log: OpenLog, app: faust.App, stack: AsyncExitStack) -> Watchdog:
    """Watch the agents of a worker of several, whose partitions others could take over."""
    tables: Any = app.tables
    watchdog = Watchdog(
        log.reader,
        lambda: {TopicPartition(*each) for each in app.assignor.assigned_actives()},
        lambda: tuple(tables.recovery.active_offsets.items()),
        limit_s=settings.kafka_max_stall_s,
    )
    watching = asyncio.create_task(watchdog.run(), name="watchdog")
    stack.callback(watching.cancel)
    return watchdog


def _banner(settings: Settings, port: int) -> str:
    if settings.role == "worker":
        return worker_banner(settings, port)
    return banner(settings, project_token(settings), port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """
    A running process.

    Attributes:
        port: That HTTP was bound to.
        app: Of the agents; None where none run here.
    """

    port: int
    app: faust.App | None

    async def wait(self, stop: asyncio.Event) -> None:
        """
        Wait until it is to stop.

        Raises:
            UnavailableError: An agent has ended.
        """
        if self.app is None:
            await stop.wait()
            return
        await self.app.wait(stop.wait())
        if self.app.crashed:
            reason = type(self.app.crash_reason).__name__  # its words may quote a record
            raise UnavailableError(f"An agent ended: {reason}")


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Node]:
    """
    Start everything, in the order in which it needs each other; stop in the reverse order.

    HTTP answers from the first moment: 503 until everything in the log is folded and visible, or
    without agents until everything that was folded is visible.
    """
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(opened(settings))
        _show(settings, log)
        tracing = await stack.enter_async_context(exporting(settings, _name(settings)))
        if tracing is not None and log.checkpoint is not None:
            log = replace(log, sink=CarryingSink(log.sink, tracing))
        if log.checkpoint is not None:
            await stack.enter_async_context(lending(settings.data_dir, log.checkpoint))
        if settings.role == "worker":
            yield await _start_worker(settings, log, stack, tracing)
            return
        settings = settings.model_copy(update={"project_token": project_token(settings)})
        await take_over_kept_secret(settings, log.sink, clock_ms)
        if settings.api_processes:
            yield await _start_processes(settings, log, stack, tracing)
        else:
            yield await _start_api(settings, log, stack, tracing)


def _show(settings: Settings, log: OpenLog) -> None:
    telemetry.INFO.info({"version": flagstream.__version__, "role": settings.role})
    telemetry.show_disk(settings.data_dir)
    telemetry.LOG_BYTES.read = log.topic_bytes
    if log.is_writable is not None:
        telemetry.LOG_WRITABLE.read = log.is_writable


async def _start_worker(
    settings: Settings, log: OpenLog, stack: AsyncExitStack, tracing: Tracing | None
) -> Node:
    progress = Watermarks.of(settings)
    await _begin(progress, log)
    # It has no views that could be behind.
    peers = asyncio.create_task(Peers(log.reader, progress, lambda *_: True).run(), name="peers")
    stack.callback(peers.cancel)
    app = _faust_app(settings, log, progress, tracing)
    watchdog = _watched(settings, log, app, stack)
    health = create_health_app(lambda: bool(app.tables.actives_ready), watchdog.is_alive)
    port = await listening(health, settings, stack)
    stack.push_async_callback(app.stop)
    await app.start()
    return Node(port=port, app=app)


async def _start_api(
    settings: Settings, log: OpenLog, stack: AsyncExitStack, tracing: Tracing | None
) -> Node:
    reads = await ReadSide.open(settings, log.reader)
    telemetry.VIEW_AGE.read = lambda: reads.view_age_s
    stack.push_async_callback(reads.stop)
    seen = await _seen_events(settings, log, stack)
    await _begin(reads.progress, log)
    await reads.start()
    app = _faust_app(settings, log, reads.progress, tracing) if settings.role == "all" else None
    sink = _TrackedSink(log.sink, reads.progress)
    served = services(
        settings,
        reads,
        lambda: reads.is_ready and reads.progress.is_open,
        Log(sink, log.reader),
        seen,
        operator_key=stack.enter_context(operator_key(settings)),
    )
    if tracing is not None:
        served = replace(served, traced=tracing.handler)
    if app is not None and settings.broker_url:
        served = replace(served, is_alive=_watched(settings, log, app, stack).is_alive)
    port = await listening(create_app(served), settings, stack)
    if app is not None:
        stack.push_async_callback(app.stop)
        await app.start()
    await reads.ready()
    await seen.ready()
    if app is not None:
        await _backlog_folded(reads.progress, log)
        # Runs first at the end: what was accepted is folded before the agents stop.
        stack.push_async_callback(_drain, settings, reads.progress, log)
    reads.progress.open()
    await stack.enter_async_context(_forgetting(settings, sink, reads))
    return Node(port=port, app=app)


async def _start_processes(
    settings: Settings, log: OpenLog, stack: AsyncExitStack, tracing: Tracing | None
) -> Node:
    store = await open_store(settings)
    seen = await _seen_events(settings, log, stack)
    progress = Watermarks.of(settings)
    feed = Feed(progress, lambda: views.is_ready and progress.is_open)
    views = FollowedViews(settings, progress, log.reader, store, feed.changed)
    telemetry.VIEW_AGE.read = lambda: views.view_age_s
    telemetry.READY.read = feed.may_open
    stack.push_async_callback(views.stop)
    # Only now: whoever still answers for a worker that was killed ends once the views are opened.
    port = await reserved_port(settings, stack)
    await _begin(progress, log)
    await views.start()
    side = WorkerSide(log.sink, log.reader, feed)
    key = stack.enter_context(operator_key(settings))
    processes = Supervisor(settings.model_copy(update={"port": port}), key, side, feed)
    stack.push_async_callback(processes.stop)
    processes.start()
    app = _faust_app(settings, log, feed, tracing)
    stack.push_async_callback(app.stop)
    await app.start()
    await views.ready()
    await seen.ready()
    await _backlog_folded(progress, log)
    stack.push_async_callback(_drain, settings, progress, log)
    # First of all at the end: what they still accept is folded with the rest.
    stack.push_async_callback(processes.stop)
    progress.open()
    feed.flush()
    watching = asyncio.create_task(feed.watch())
    stack.callback(watching.cancel)
    await processes.ready()
    await stack.enter_async_context(_forgetting(settings, side, views))
    return Node(port=port, app=app)


async def _seen_events(settings: Settings, log: OpenLog, stack: AsyncExitStack) -> SeenEvents:
    seen = await SeenEvents.open(settings, log.reader)
    stack.push_async_callback(seen.stop)
    seen.start()
    return seen


async def _begin(progress: Watermarks, log: OpenLog) -> None:
    telemetry.show_lag(progress)
    bounds = await log.reader.bounds([table.source for table in Table])
    progress.begin(bounds, await log.reader.committed(bounds), log.epoch)


async def _backlog_folded(progress: Watermarks, log: OpenLog) -> None:
    bounds = await log.reader.bounds([table.source for table in Table])
    last = [Position(*place, end - 1) for place, (start, end) in bounds.items() if end > start]
    await progress.wait_visible(last, math.inf)


@asynccontextmanager
async def _forgetting(
    settings: Settings, sink: RecordSink, views: FollowedViews
) -> AsyncIterator[None]:
    ttl_s = settings.active_groups_ttl_days * _DAY_S
    forgetting = asyncio.create_task(
        forget_for_ever(
            views.sessions, sink, ttl_s=ttl_s, interval_s=_FORGET_INTERVAL_S, clock_ms=clock_ms
        )
    )
    try:
        yield
    finally:
        forgetting.cancel()


async def _drain(settings: Settings, progress: Watermarks, log: OpenLog) -> None:
    progress.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(settings.stop_timeout_s / 2):
            await _backlog_folded(progress, log)


def _faust_app(
    settings: Settings, log: OpenLog, progress: FoldProgress, tracing: Tracing | None
) -> faust.App:
    app = faust.App(
        APP_ID,
        datadir=settings.data_dir.absolute() / "tables",
        web_enabled=False,
        **log.faust_settings,
    )
    folding = Folding(
        partitions=settings.partitions,
        epoch=log.epoch,
        progress=progress,
        dead_letters=log.sink,
        on_dead=lambda table: telemetry.DEAD_LETTERS.count(table.value),
        traced=None if tracing is None else tracing.fold,
    )
    for table in Table:
        register(app, table, folding)
    return app


class _TrackedSink:
    """A sink whose records count as appended, so that the agents' lag is known."""

    def __init__(self, sink: RecordSink, progress: Watermarks) -> None:
        self._sink = sink
        self._progress = progress

    async def append(self, appends: Sequence[Append]) -> Sequence[Position]:
        """Append and count."""
        positions = await self._sink.append(appends)
        self._progress.appended(positions)
        return positions
