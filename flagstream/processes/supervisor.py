"""API processes started, watched over, started again, and stopped."""

import asyncio
import logging
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import Process
from contextlib import suppress
from time import monotonic

import msgspec

from flagstream.settings import Settings
from flagstream.telemetry import API_PROCESS_EXITS, API_PROCESSES

from .channel import Channel
from .feed import Feed
from .messages import Welcome
from .worker_side import WorkerSide

logger = logging.getLogger(__name__)

_MODULE = "flagstream.api_process"
_MIN_PAUSE_S, _MAX_PAUSE_S = 0.1, 5.0
_STEADY_S = 10.0
_REAP_S = 1.0


class Supervisor:
    """
    Keeps as many API processes alive as the settings ask for.

    One that ends is started again: at once, and after ever longer pauses if it ends again and
    again.
    """

    def __init__(self, settings: Settings, side: WorkerSide, feed: Feed) -> None:
        """
        Prepare.

        Args:
            settings: With the port and the keys as the processes are to use them.
        """
        self._settings = settings
        self._side = side
        self._feed = feed
        self._processes: dict[str, Process] = {}
        self._keeping: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Start all."""
        names = [f"api-{number}" for number in range(self._settings.api_processes)]
        self._keeping = [asyncio.create_task(self._keep(name), name=name) for name in names]

    async def stop(self) -> None:
        """Let each end the requests that it has, and wait until all have ended."""
        self._stopping.set()
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        if self._keeping:
            _, late = await asyncio.wait(self._keeping, timeout=self._settings.stop_timeout_s / 2)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._keeping, return_exceptions=True)

    async def _keep(self, name: str) -> None:
        pause_s = _MIN_PAUSE_S
        while not self._stopping.is_set():
            began_s = monotonic()
            returned = await self._live(name)
            if self._stopping.is_set():
                return
            API_PROCESS_EXITS.inc()
            logger.error("an API process ended", extra={"which": name, "returned": returned})
            pause_s = _MIN_PAUSE_S if monotonic() - began_s > _STEADY_S else pause_s * 2
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), min(pause_s, _MAX_PAUSE_S))

    async def _live(self, name: str) -> int | None:
        """Run a process until it ends, or says no more; returns what it has returned."""
        process, channel = await self._started(name)
        self._processes[name], self._side.channels[name] = process, channel
        API_PROCESSES.inc()
        try:
            self._feed.add(channel)
            # Also where it is killed: then its end of the channel is closed for it.
            await asyncio.shield(channel.closed)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _REAP_S)
        finally:
            API_PROCESSES.dec()
            del self._processes[name], self._side.channels[name]
            channel.close()
            with suppress(ProcessLookupError):
                process.kill()
        return await process.wait()

    async def _started(self, name: str) -> tuple[Process, Channel]:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", _MODULE),
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
            )
            welcome = Welcome(
                settings=self._settings.disclosed(),
                name=name,
                descriptor=theirs.fileno(),
                is_late=self._feed.is_open,
            )
        assert process.stdin is not None  # noqa: S101 -- for the type checker
        process.stdin.write(msgspec.json.encode(welcome))
        process.stdin.close()
        return process, await Channel.over(ours, self._side)
