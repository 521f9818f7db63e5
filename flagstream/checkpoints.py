"""The log's files as they were at one moment, lent to a backup for as long as it copies them."""

import asyncio
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from flagstream.errors import BackupError, LogUnavailableError

_SOCKET, _DIRECTORY = "backup.sock", "checkpoint"
_ANSWER_TIMEOUT_S = 30.0

MakeCheckpoint = Callable[[Path], Awaitable[None]]


@asynccontextmanager
async def lending(data_dir: Path, make: MakeCheckpoint) -> AsyncIterator[None]:
    """
    Lend a checkpoint to whoever connects to a socket in the data directory, one at a time.

    Whoever may open the directory may connect, and nobody else; no key is needed, and no port. The
    checkpoint goes when the connection does, so that none is forgotten and keeps old files.
    """
    lender = _Lender(data_dir / _DIRECTORY, make)
    await asyncio.to_thread(lender.clear)
    with _listening(data_dir) as listener:
        server = await asyncio.start_unix_server(lender.lend, sock=listener)
        try:
            yield
        finally:
            server.close()
            await lender.stop()
            (data_dir / _SOCKET).unlink(missing_ok=True)


@contextmanager
def borrowed(data_dir: Path) -> Iterator[Path]:
    """
    Borrow a checkpoint of the log that the server of a data directory writes.

    Raises:
        BackupError: No server runs there, or it cannot make one now.
    """
    with _Address(data_dir) as address, socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_TIMEOUT_S)
        try:
            connection.connect(str(address))
            with connection.makefile() as answers:
                answer: dict[str, Any] = json.loads(answers.readline() or "{}")
        except (OSError, ValueError) as error:
            raise BackupError(
                f"{data_dir}: no server answers that writes here ({error}). The directory of a "
                "stopped one can be copied as it is"
            ) from None
        if not answer.get("is_made"):
            raise BackupError(f"{data_dir}: {answer.get('detail', 'the server is stopping')}")
        yield data_dir / _DIRECTORY


class _Lender:
    def __init__(self, path: Path, make: MakeCheckpoint) -> None:
        self._path = path
        self._make = make
        self._lending: dict[asyncio.StreamWriter, asyncio.Event] = {}
        self._clearing = asyncio.Lock()

    async def lend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Lend until the other side is gone."""
        is_free, ended = not self._lending, asyncio.Event()
        self._lending[writer] = ended
        try:
            with suppress(ConnectionError):
                answer = await self._answer() if is_free else _refusal("another backup is made")
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
                if is_free:
                    await reader.read()
        finally:
            writer.close()
            async with self._clearing:
                # Before: whoever sees that it has gone may have the next one.
                del self._lending[writer]
                if is_free:
                    await asyncio.to_thread(self.clear)
            ended.set()

    async def _answer(self) -> dict[str, Any]:
        async with self._clearing:
            pass
        try:
            await self._make(self._path)
        except LogUnavailableError as error:
            return _refusal(str(error))
        return {"is_made": True}

    def clear(self) -> None:
        """Remove a checkpoint, also one of a server that was killed."""
        shutil.rmtree(self._path, ignore_errors=True)

    async def stop(self) -> None:
        """End all that is lent; a checkpoint that is being made is waited for."""
        lending = dict(self._lending)
        for writer in lending:
            writer.close()
        for ended in lending.values():
            await ended.wait()
        async with self._clearing:
            pass


def _refusal(detail: str) -> dict[str, Any]:
    return {"is_made": False, "detail": detail}


class _Address:
    """The path of the socket, short however long that of the directory is."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def __enter__(self) -> Path:
        try:
            self._descriptor = os.open(self._data_dir, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise BackupError(f"{self._data_dir}: {error.strerror}") from None
        # The system takes 107 bytes.
        return Path(f"/proc/self/fd/{self._descriptor}") / _SOCKET

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


@contextmanager
def _listening(data_dir: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        # The mode that the file will have.
        os.fchmod(listener.fileno(), 0o600)
        # Of a server that was killed: the log's lock keeps out any other.
        (data_dir / _SOCKET).unlink(missing_ok=True)
        with _Address(data_dir) as address:
            listener.bind(str(address))
        listener.setblocking(False)  # noqa: FBT003 -- its signature
        yield listener
