"""The composition root: settings become a running process."""

import asyncio
import gc
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import faust
import uvloop
from aiohttp import web

from flagstream import telemetry
from flagstream.agents import Folding, register
from flagstream.api import Services, create_app, create_health_app
from flagstream.banner import banner, worker_banner
from flagstream.dead_letters import DeadLetterBox
from flagstream.errors import SettingsError, UnavailableError
from flagstream.expiry import forget_for_ever
from flagstream.ingest import WarningSamples
from flagstream.keys import StaticProjects, default_project
from flagstream.ports import Append, Position, RecordSink
from flagstream.routes.protocol import listen
from flagstream.settings import Settings
from flagstream.topics import APP_ID, Table
from flagstream.transport.opening import OpenLog, opened
from flagstream.views import SPARED_THRESHOLD, Peers, ReadSide, Watermarks

_DAY_S = 86_400
_FORGET_INTERVAL_S = 3_600


def serve(settings: Settings) -> None:
    """
    Run until SIGTERM or SIGINT.

    Raises:
        FlagstreamError: The start is not possible; the message says what to do.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    if settings.log_level != "debug":
        # Faust tells every step of every service.
        for name in ("faust", "mode", "aiokafka", "flagstream.transport"):
            logging.getLogger(name).setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    # Faust and its Kafka client wait without end for a broker that is gone.
    overdue = threading.Timer(settings.stop_timeout_s, _give_up)
    overdue.daemon = True
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _begin_stop, stop, overdue)
    async with running(settings) as node:
        sys.stdout.write(_banner(settings, node.port) + "\n")
        sys.stdout.flush()
        spare_the_collector()
        # Requests must not wait 5 ms each time the consumer's or the writer's thread has a turn.
        sys.setswitchinterval(0.0005)
        await node.wait(stop)


def _banner(settings: Settings, port: int) -> str:
    if settings.role == "worker":
        return worker_banner(settings, port)
    return banner(settings, default_project(settings).token, port)


def spare_the_collector() -> None:
    """
    Keep what the start has made out of garbage collection, and collect less often.

    Requests make no cycles; walking modules, schemas and caches again and again only delays them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(SPARED_THRESHOLD, 50, 100)


def _begin_stop(stop: asyncio.Event, overdue: threading.Timer) -> None:
    if not stop.is_set():
        stop.set()
        overdue.start()


def _give_up() -> None:
    # As safe as any kill: what was accepted is in the log, and the next start folds it.
    logging.getLogger(__name__).error("The stop took too long: ended without it")
    os._exit(1)


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
            raise UnavailableError(f"An agent ended: {self.app.crash_reason!r}")


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Node]:
    """
    Start everything, in the order in which it needs each other; stop in the reverse order.

    HTTP answers from the first moment: 503 until everything in the log is folded and visible, or
    without agents until everything that was folded is visible.
    """
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(opened(settings))
        if settings.role == "worker":
            yield await _start_worker(settings, log, stack)
        else:
            yield await _start_api(settings, log, stack)


async def _start_worker(settings: Settings, log: OpenLog, stack: AsyncExitStack) -> Node:
    progress = Watermarks.of(settings)
    await _begin(progress, log)
    # It has no views that could be behind.
    peers = asyncio.create_task(Peers(log.reader, progress, lambda *_: True).run(), name="peers")
    stack.callback(peers.cancel)
    app = _faust_app(settings, log, progress)
    health = create_health_app(lambda: bool(app.tables.actives_ready))
    port = await _listen(health, settings, stack)
    stack.push_async_callback(app.stop)
    await app.start()
    return Node(port=port, app=app)


async def _start_api(settings: Settings, log: OpenLog, stack: AsyncExitStack) -> Node:
    reads = await ReadSide.open(settings, log.reader)
    stack.push_async_callback(reads.stop)
    await _begin(reads.progress, log)
    await reads.start()
    app = _faust_app(settings, log, reads.progress) if settings.role == "all" else None
    sink = _TrackedSink(log.sink, reads.progress)
    http = _http_app(settings, DeadLetterBox(log.reader, sink), sink, reads)
    port = await _listen(http, settings, stack)
    if app is not None:
        stack.push_async_callback(app.stop)
        await app.start()
    await reads.ready()
    if app is not None:
        await _backlog_folded(reads.progress, log)
        # Runs first at the end: what was accepted is folded before the agents stop.
        stack.push_async_callback(_drain, settings, reads.progress, log)
    reads.progress.open()
    await stack.enter_async_context(_forgetting(settings, sink, reads))
    return Node(port=port, app=app)


async def _begin(progress: Watermarks, log: OpenLog) -> None:
    telemetry.LAG_CHANGES.set_function(lambda: progress.lag_changes)
    telemetry.LAG_SECONDS.set_function(lambda: progress.lag_s)
    bounds = await log.reader.bounds([table.source for table in Table])
    progress.begin(bounds, await log.reader.committed(bounds), log.epoch)


async def _backlog_folded(progress: Watermarks, log: OpenLog) -> None:
    bounds = await log.reader.bounds([table.source for table in Table])
    last = [Position(*place, end - 1) for place, (start, end) in bounds.items() if end > start]
    await progress.wait_visible(last, math.inf)


@asynccontextmanager
async def _forgetting(settings: Settings, sink: RecordSink, reads: ReadSide) -> AsyncIterator[None]:
    ttl_s = settings.active_groups_ttl_days * _DAY_S
    forgetting = asyncio.create_task(
        forget_for_ever(
            reads.sessions, sink, ttl_s=ttl_s, interval_s=_FORGET_INTERVAL_S, clock_ms=_clock_ms
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


def _faust_app(settings: Settings, log: OpenLog, progress: Watermarks) -> faust.App:
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
        on_dead=lambda table: telemetry.DEAD_LETTERS.labels(table.value).inc(),
    )
    for table in Table:
        register(app, table, folding)
    return app


def _http_app(
    settings: Settings,
    dead_letters: DeadLetterBox,
    sink: RecordSink,
    reads: ReadSide,
) -> web.Application:
    return create_app(
        Services(
            settings=settings,
            sink=sink,
            view=reads.state,
            catalog=reads.catalog,
            progress=reads.progress,
            admission=reads.progress,
            projects=StaticProjects(default_project(settings)),
            dead_letters=dead_letters,
            warnings=WarningSamples(),
            is_ready=lambda: reads.is_ready and reads.progress.is_open,
            clock_ms=_clock_ms,
        )
    )


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


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


async def _listen(http: web.Application, settings: Settings, stack: AsyncExitStack) -> int:
    runner = web.AppRunner(http, access_log=None, shutdown_timeout=settings.stop_timeout_s / 2)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        server = await listen(runner, settings.host, settings.port)
    except OSError as error:
        raise SettingsError(
            f"port: cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        ) from None
    stack.callback(server.close)
    port: int = server.sockets[0].getsockname()[1]
    return port
