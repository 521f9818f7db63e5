"""What every process that answers requests shares: the application, its port, and how it ends."""

import asyncio
import gc
import hashlib
import logging
import mmap
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

import uvloop
from aiohttp import web
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from flagstream import logs, telemetry
from flagstream.api import Services, create_public_app
from flagstream.census import Previews
from flagstream.dead_letters import DeadLetterBox
from flagstream.errors import FlagstreamError, SettingsError
from flagstream.keys import KeyRing, masked
from flagstream.ports import GroupHistory, RecordSink, SeenEvents, TopicReader
from flagstream.processes import ReplicaSide
from flagstream.rates import Rates
from flagstream.redaction import keep_values_out, report
from flagstream.routes import keys
from flagstream.routes.connections import Connections
from flagstream.routes.protocol import listen
from flagstream.settings import Settings
from flagstream.views import SPARED_THRESHOLD, ReadSide, views_path
from flagstream.warning_log import WarningLog

logger = logging.getLogger(__name__)

_HANDOVER_S = 2.0
_OTHER_DESCRIPTORS = 2_048  # of the log, the tables and the views


def run(settings: Settings, process: Callable[[asyncio.Event], Awaitable[None]], name: str) -> None:
    """
    Run *process* until it ends; it is given what is set on SIGTERM and SIGINT.

    Args:
        name: Of the process, for its log.

    Raises:
        FlagstreamError: It is not possible; told in the log instead where that is for programs.
    """
    logs.configure(settings, name)
    keep_values_out()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, process))
    except FlagstreamError as error:
        if settings.log_format == "text":
            raise
        logger.critical(str(error), extra={"error": type(error).__name__})
        sys.exit(1)
    logger.info("Stopped")


async def _run(settings: Settings, process: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(report)
    # Faust and its Kafka client wait without end for a broker that is gone.
    overdue = threading.Timer(settings.stop_timeout_s, _give_up)
    overdue.daemon = True
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _begin_stop, stop, overdue)
    await process(stop)


def _begin_stop(stop: asyncio.Event, overdue: threading.Timer) -> None:
    if not stop.is_set():
        logger.info("Asked to stop")
        stop.set()
        overdue.start()


def _give_up() -> None:
    # As safe as any kill: what was accepted is in the log, and the next start folds it.
    logger.error("The stop took too long: ended without it")
    os._exit(1)


def settle() -> None:
    """Let requests of a process that has started wait for nothing but each other."""
    spare_the_collector()
    # They must not wait 5 ms each time the consumer's or the writer's thread has a turn.
    sys.setswitchinterval(0.0005)


def spare_the_collector() -> None:
    """
    Keep what the start has made out of garbage collection, and collect less often.

    Requests make no cycles; walking modules, schemas and caches again and again only delays them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(SPARED_THRESHOLD, 50, 100)


class Log(NamedTuple):
    """How a process writes the log, and how it reads it."""

    sink: RecordSink
    reader: TopicReader


def services(  # noqa: PLR0913 -- each of another part of the process
    settings: Settings,
    reads: ReadSide | ReplicaSide,
    is_ready: Callable[[], bool],
    log: Log,
    seen: SeenEvents,
    *,
    operator_key: str,
    history: GroupHistory,
    shared_rates: mmap.mmap | None = None,
) -> Services:
    """
    Put together what HTTP needs, over views and log.

    Args:
        operator_key: Of this run, beside the one that is set.
        shared_rates: Memory in which several processes count what they let in.
    """
    operator_keys = {operator_key: "operator"}
    if secret_key := settings.secret_key.get_secret_value():
        operator_keys[secret_key] = masked(secret_key)
    warnings = WarningLog(log.reader, log.sink, clock_ms=clock_ms)
    return Services(
        settings=settings,
        sink=log.sink,
        reader=log.reader,
        view=reads.state,
        catalog=reads.catalog,
        changes=reads.changes,
        progress=reads.progress,
        admission=reads.progress,
        projects=reads.access,
        secret_keys=reads.access,
        callers=KeyRing(
            reads.access,
            reads.progress,
            operator_keys=operator_keys,
            clock_ms=clock_ms,
            wait_timeout_s=settings.wait_timeout_s,
        ),
        dead_letters=DeadLetterBox(log.reader, log.sink),
        warnings=warnings,
        rates=Rates(settings, warnings, shared_rates),
        seen=seen,
        previews=Previews(
            views_path(settings), log_level=settings.log_level, log_format=settings.log_format
        ),
        history=history,
        is_ready=is_ready,
        clock_ms=clock_ms,
        channel_key=hashlib.sha256(f"channels {secret_key or operator_key}".encode()).digest(),
    )


def clock_ms() -> int:
    """Unix milliseconds now."""
    return time.time_ns() // 1_000_000


class Address(NamedTuple):
    """Where to listen, and which setting says so."""

    setting: str
    host: str
    port: int

    def refused(self, error: OSError) -> SettingsError:
        """Say why that is not possible."""
        place = f"{self.host}:{self.port}"
        return SettingsError(f"{self.setting}: cannot listen on {place}: {error.strerror}")


class Listener(NamedTuple):
    """What answers at an address, and the connections there."""

    http: web.Application
    address: Address
    connections: Connections


def _addresses(settings: Settings) -> Sequence[Address]:
    """Name the addresses to listen on; where there are two, the first is for strangers."""
    first = Address("port", settings.host, settings.port)
    second = Address("admin_port", settings.admin_host, settings.admin_port)
    return (first, second) if settings.admin_port else (first,)


async def listening(
    http: web.Application, settings: Settings, stack: AsyncExitStack, *, is_shared: bool = False
) -> int:
    """
    Serve until *stack* is closed; then requests in flight are answered first.

    Args:
        is_shared: Other processes listen on the ports as well.

    Returns:
        The port, which the setting may have left to the system.

    Raises:
        SettingsError: An address is in use, or not this machine's.
    """
    addresses = _addresses(settings)
    _allow_descriptors(settings.max_connections * len(addresses) + _OTHER_DESCRIPTORS)
    served = (http,) if len(addresses) == 1 else (create_public_app(http), http)
    # Each has its own, or strangers could keep operators out.
    connections = [Connections.of(settings) for _ in addresses]
    telemetry.READY.read = http[keys.IS_READY]
    telemetry.CONNECTIONS.read = lambda: sum(each.open for each in connections)
    ports = [
        await _listening(Listener(*each), settings, stack, is_shared=is_shared)
        for each in zip(served, addresses, connections, strict=True)
    ]
    return ports[0]


async def _listening(
    listener: Listener, settings: Settings, stack: AsyncExitStack, *, is_shared: bool
) -> int:
    http, address, connections = listener
    runner = web.AppRunner(http, access_log=None, shutdown_timeout=settings.stop_timeout_s / 2)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        server = await listen(runner, connections, address.host, address.port, is_shared=is_shared)
    except OSError as error:
        raise address.refused(error) from None
    stack.callback(server.close)
    port: int = server.sockets[0].getsockname()[1]
    return port


def _allow_descriptors(wanted: int) -> None:
    """Let the process have as many files and sockets open, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


async def reserved_port(settings: Settings, stack: AsyncExitStack) -> int:
    """
    Keep the ports for processes that will share them, until *stack* is closed.

    Returns:
        The first, which the setting may have left to the system.

    Raises:
        SettingsError: Somebody else listens on one, or an address is not this machine's.
    """
    ports = [await _reserved(address, stack) for address in _addresses(settings)]
    return ports[0]


async def _reserved(address: Address, stack: AsyncExitStack) -> int:
    attempts = AsyncRetrying(
        wait=wait_fixed(0.1),
        stop=stop_after_delay(_HANDOVER_S),
        retry=retry_if_exception_type(OSError),
        reraise=True,
    )
    try:
        reservation: socket.socket = await attempts(_reservation, address)
    except OSError as error:
        raise address.refused(error) from None
    stack.callback(reservation.close)
    port: int = reservation.getsockname()[1]
    return port


async def _reservation(at: Address) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        at.host or None, at.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    # Whoever shares a port cannot see strangers on it, and would take turns with them.
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
    reservation = socket.socket(family)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reservation.bind(address)
    return reservation
