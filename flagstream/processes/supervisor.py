"""API processes started, watched over, started again, and stopped."""

import asyncio
import logging
import socket
import subprocess
import sys
from contextlib import suppress
from tempfile import TemporaryFile
from time import monotonic

import msgspec

from flagstream.errors import LogUnavailableError
from flagstream.rates import SHARED_BYTES
from flagstream.settings import Settings
from flagstream.telemetry import API_PROCESS_EXITS, API_PROCESSES

from .channel import Channel
from .feed import Feed
from .messages import AwaitAnswers, Welcome
from .worker_side import WorkerSide

logger = logging.getLogger(__name__)

_MODULE = "flagstream.api_process"
_MIN_PAUSE_S, _MAX_PAUSE_S = 0.1, 5.0
_STEADY_S = 10.0
_REAP_S = 1.0

Process = subprocess.Popen[bytes]


class Supervisor:
    """
    Keeps as many API processes alive as the settings ask for.

    One that ends is started again: at once, and after ever longer pauses if it ends again and
    again.
    """

    def __init__(self, settings: Settings, operator_key: str, side: WorkerSide, feed: Feed) -> None:
        """
        Prepare.

        Args:
            settings: With the port and the token as the processes are to use them.
            operator_key: Of this run of the server.
        """
        self._settings = settings
        self._operator_key = operator_key
        self._side = side
        self._feed = feed
        self._processes: dict[str, Process] = {}
        self._answering: set[str] = set()
        self._keeping: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._rates = TemporaryFile(dir=settings.data_dir)  # noqa: SIM115 -- closed by the stop
        # Written, not only made longer: on a full disk memory that was promised is an end.
        self._rates.write(bytes(SHARED_BYTES))
        self._rates.flush()
        self._ready = {f"api-{n}": asyncio.Event() for n in range(settings.api_processes)}

    def start(self) -> None:
        """Start all."""
        self._keeping = [asyncio.create_task(self._keep(name), name=name) for name in self._ready]

    async def ready(self) -> None:
        """Wait until each has answered requests."""
        await asyncio.gather(*(ready.wait() for ready in self._ready.values()))

    async def stop(self) -> None:
        """Let each end the requests that it has, and wait until all have ended."""
        self._stopping.set()
        for process in self._processes.values():
            process.terminate()
        if self._keeping:
            _, late = await asyncio.wait(self._keeping, timeout=self._settings.stop_timeout_s / 2)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._keeping, return_exceptions=True)
        self._rates.close()

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

    async def _live(self, name: str) -> int:
        """Run a process until it ends, or says no more; returns what it has returned."""
        process, channel = await self._started(name)
        self._processes[name], self._side.channels[name] = process, channel
        if self._stopping.is_set():
            process.terminate()
        answering = asyncio.create_task(self._note_ready(name, channel))
        self._feed.add(channel)
        try:
            # Also where it is killed: then its end of the channel is closed for it.
            await asyncio.shield(channel.closed)
        except asyncio.CancelledError:
            process.kill()
            raise
        finally:
            answering.cancel()
            self._answering.discard(name)
            API_PROCESSES.set(len(self._answering))
            del self._processes[name], self._side.channels[name]
        return await asyncio.to_thread(_reaped, process)

    async def _note_ready(self, name: str, channel: Channel) -> None:
        with suppress(LogUnavailableError):
            await channel.ask(AwaitAnswers(), type(None), timeout_s=None)
            self._answering.add(name)
            API_PROCESSES.set(len(self._answering))
            self._ready[name].set()

    async def _started(self, name: str) -> tuple[Process, Channel]:
        ours, theirs = socket.socketpair()
        with theirs:
            process = _spawned(theirs.fileno(), self._rates.fileno())
            welcome = Welcome(
                settings=self._settings.disclosed(),
                operator_key=self._operator_key,
                name=name,
                descriptor=theirs.fileno(),
                rates=self._rates.fileno(),
                is_first=name == next(iter(self._ready)),
            )
        _write(process, msgspec.json.encode(welcome))
        return process, await Channel.over(ours, self._side)


def _spawned(*descriptors: int) -> Process:
    # Not asyncio's: uvloop's leaves its ends of the standard input open in the process.
    return subprocess.Popen(  # noqa: S603 -- this very program
        [sys.executable, "-m", _MODULE], stdin=subprocess.PIPE, pass_fds=descriptors
    )


def _write(process: Process, welcome: bytes) -> None:
    """Write to the standard input and close it: less than a pipe takes without waiting."""
    assert process.stdin is not None, "it has a pipe"  # noqa: S101 -- for the type checker
    # One that has ended already is started again.
    with suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(welcome)


def _reaped(process: Process) -> int:
    """Wait until a process has ended; one that does not end by itself is killed."""
    try:
        return process.wait(_REAP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
