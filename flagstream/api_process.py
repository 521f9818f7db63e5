"""
An API process: the composition root of one that answers beside a worker.

Started by :class:`flagstream.processes.Supervisor`, which writes on its standard input how.
"""

import asyncio
import mmap
import socket
import sys
from collections.abc import Awaitable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

import flagstream
from flagstream import telemetry
from flagstream.api import create_app
from flagstream.errors import LogUnavailableError
from flagstream.processes import Channel, RemoteLog, ReplicaSide, Turns
from flagstream.processes.messages import Listening, ReadMetrics, Welcome
from flagstream.rates import SHARED_BYTES
from flagstream.serving import Log, clock_ms, listening, run, services, settle
from flagstream.settings import Settings
from flagstream.tracing import exporting
from flagstream.views import KeptGroups, KeptReplica, SeenReplica, views_path

_ORPHANED_S = 10.0
_LOOK_S = 0.1
_METRICS_TIMEOUT_S = 3.0


def main() -> None:
    """Answer until SIGTERM or SIGINT, or until the worker is gone for good."""
    welcome = msgspec.json.decode(sys.stdin.buffer.read(), type=Welcome)
    settings = Settings.model_validate(welcome.settings)
    run(settings, lambda stop: _serve(welcome, settings, stop), welcome.name)


async def _serve(welcome: Welcome, settings: Settings, stop: asyncio.Event) -> None:
    async with AsyncExitStack() as stack:
        own_path = settings.data_dir / "processes"
        reads = ReplicaSide(settings, own_path / welcome.name)
        stack.callback(reads.close)
        seen = SeenReplica(settings, own_path / f"{welcome.name}-seen")
        stack.callback(seen.close)
        channel = await Channel.over(socket.socket(fileno=welcome.descriptor), reads)
        stack.callback(channel.close)
        reads.changes.watched = lambda is_watched: channel.tell(Listening(is_watched))
        taking_in = asyncio.create_task(reads.run(), name="replica")
        stack.callback(taking_in.cancel)
        if await _is_late(welcome, channel, reads):
            await _first(taking_in, channel.closed, reads.caught_up.wait())
        telemetry.INFO.info({"version": flagstream.__version__, "role": settings.role})
        telemetry.show_lag(reads.progress)
        telemetry.VIEW_AGE.read = lambda: reads.view_age_s
        log = RemoteLog(channel)
        turns = Turns(own_path / "turns", log, settings.wait_timeout_s)
        tracing = await stack.enter_async_context(exporting(settings, welcome.name))
        alone = services(
            settings,
            reads,
            lambda: reads.is_ready,
            Log(log, log),
            seen,
            operator_key=welcome.operator_key,
            history=_history(settings, own_path / f"{welcome.name}-history", stack),
            shared_rates=mmap.mmap(welcome.rates, SHARED_BYTES),
        )
        served = replace(
            alone,
            metrics=lambda: _metrics(welcome.name, channel),
            turn=turns.turn,
            traced=None if tracing is None else tracing.handler,
        )
        await listening(create_app(served), settings, stack, is_shared=True)
        settle()
        reads.is_listening.set()
        await _first(taking_in, channel.closed, stop.wait())
        if not stop.is_set():
            reads.orphan()
            if reads.is_ready:
                await _first(taking_in, stop.wait(), _succeeded(settings))


def _history(settings: Settings, own_path: Path, stack: AsyncExitStack) -> KeptGroups:
    kept = KeptReplica(settings, own_path)
    stack.callback(kept.close)
    return KeptGroups(
        kept, history_days=settings.history_days, is_ready=kept.is_ready, clock_ms=clock_ms
    )


async def _is_late(welcome: Welcome, channel: Channel, reads: ReplicaSide) -> bool:
    """Tell whether others may answer already, so that nobody is to be told to come back."""
    # Whatever was told before has arrived with the answer.
    with suppress(LogUnavailableError):
        await RemoteLog(channel).bounds([])
    return reads.is_told or not welcome.is_first


async def _first(running: asyncio.Task[None], *others: Awaitable[Any]) -> None:
    """Wait for the first to end; raise what *running* has raised."""
    waiting = {running, *map(asyncio.ensure_future, others)}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running


async def _succeeded(settings: Settings) -> None:
    """
    Wait until another worker has opened the views, or nobody can be expected to any more.

    Until then flags are answered better by this process than by none.
    """
    # RocksDB puts another file in its place whenever it opens the directory for writing.
    current, deadline_s = views_path(settings) / "CURRENT", monotonic() + _ORPHANED_S
    last = _identity(current)
    while _identity(current) == last and monotonic() < deadline_s:  # noqa: ASYNC110 -- of others
        await asyncio.sleep(_LOOK_S)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


async def _metrics(name: str, channel: Channel) -> bytes:
    """Read the metrics of all processes, of this one alone while the worker is gone."""
    try:
        texts = await channel.ask(ReadMetrics(), dict[str, bytes], _METRICS_TIMEOUT_S)
    except LogUnavailableError:
        texts = {name: telemetry.exposition()}
    return telemetry.joined(texts)


if __name__ == "__main__":
    main()
