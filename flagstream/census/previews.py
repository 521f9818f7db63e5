"""Previews, each in a process of its own: how many at once, for how long, and for whom."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import msgspec

from flagstream.errors import InvalidFieldError, OverloadedError, UnavailableError

from .preview import Preview, PreviewPage, PreviewTask, Refused, Welcome

_MODULE = "flagstream.census.preview_process"
_AT_ONCE = 1  # each takes a core
_RETRY_S = 2
_LOOK_S = 0.1
_GRACE_S = 10.0  # to start, and to write the answer
_Result = Preview | PreviewPage | Refused


class Previews:
    """Starts the processes, and ends those whose answer nobody waits for."""

    def __init__(self, views: Path, *, log_level: str = "info", log_format: str = "text") -> None:
        """
        Prepare.

        Args:
            views: The directory of the views.
            log_level: As the setting of that name; likewise *log_format*.
        """
        self._views = views
        self._log_level = log_level
        self._log_format = log_format
        self._running = 0

    async def preview(
        self, task: PreviewTask, is_wanted: Callable[[], bool]
    ) -> Preview | PreviewPage:
        """
        Preview a change of a flag.

        Args:
            is_wanted: False once nobody waits for the answer any more.

        Raises:
            InvalidFieldError: The flag is about others than those who can be counted.
            OverloadedError: Another preview is being made.
            UnavailableError: It failed, or took too long, or nobody waits for it.
        """
        if self._running >= _AT_ONCE:
            raise OverloadedError(
                "Another preview is being made; there is one at a time.", retry_after_s=_RETRY_S
            )
        self._running += 1
        try:
            result = await self._result(task, is_wanted)
        finally:
            self._running -= 1
        if isinstance(result, Refused):
            raise InvalidFieldError("filters", result.expected, result.got)
        return result

    async def _result(self, task: PreviewTask, is_wanted: Callable[[], bool]) -> _Result:
        own = await asyncio.to_thread(mkdtemp, prefix="flagstream-preview-")
        try:
            welcome = Welcome(
                views=str(self._views),
                own=own,
                task=task,
                log_level=self._log_level,
                log_format=self._log_format,
            )
            written = await _answered(msgspec.json.encode(welcome), task.timeout_s, is_wanted)
        finally:
            await asyncio.to_thread(shutil.rmtree, own, ignore_errors=True)
        try:
            result: _Result = msgspec.json.decode(written, type=_Result)
        except msgspec.DecodeError:
            raise UnavailableError("The preview failed.", retry_after_s=_RETRY_S) from None
        return result


async def _answered(welcome: bytes, timeout_s: float, is_wanted: Callable[[], bool]) -> bytes:
    """Run a process until it has answered; kill it where that is not wanted any more."""
    process = _spawned()
    answering = asyncio.create_task(asyncio.to_thread(process.communicate, welcome))
    end_s = asyncio.get_running_loop().time() + timeout_s + _GRACE_S
    try:
        while not answering.done():
            await asyncio.wait({answering}, timeout=_LOOK_S)
            if not is_wanted() or asyncio.get_running_loop().time() > end_s:
                break
    finally:
        if not answering.done():
            process.kill()
        written, _ = await asyncio.shield(answering)
    return written


def _spawned() -> subprocess.Popen[bytes]:
    # Not asyncio's, as processes/supervisor has it.
    return subprocess.Popen(  # noqa: S603 -- this very program
        [sys.executable, "-m", _MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
