"""A worker without HTTP, in a process of its own: on our drivers, or on Faust's own."""

import asyncio
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faust

from flagstream.agents import Folding, register
from flagstream.settings import Settings
from flagstream.topics import APP_ID
from flagstream.transport.opening import opened
from tests.contract.app import TABLE, NoDeadLetters

ROOT = Path(__file__).parent.parent.parent
STOP_TIMEOUT_S = 15.0
_TABLE_FILE = "table.json"


class Worker:
    """The process; *drivers* are "ours" or "stock"."""

    def __init__(self, data_dir: Path, broker_url: str, partitions: int, drivers: str) -> None:
        self.data_dir = data_dir
        data_dir.mkdir()
        self._log = (data_dir / "log").open("wb")
        arguments = [str(data_dir), broker_url, str(partitions), drivers]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.broker.worker", *arguments],
            cwd=ROOT,
            stdout=self._log,
            stderr=self._log,
        )

    def send(self, number: signal.Signals) -> None:
        """Signal it: SIGSTOP suspends it, SIGCONT has it go on, SIGTERM asks it to stop."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; returns the exit code."""
        return self._process.wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End it whatever it does."""
        self._process.kill()
        self._process.wait()
        self._log.close()

    def log(self) -> str:
        """Read what it has logged."""
        return (self.data_dir / "log").read_text()

    def table(self) -> dict[bytes, bytes]:
        """Read its part of the table, as it was when it was asked to stop."""
        states: dict[str, str] = json.loads((self.data_dir / _TABLE_FILE).read_text())
        return {key.encode(): value.encode() for key, value in states.items()}


class _NoProgress:
    def folded(self, *_: object) -> None:
        pass


async def _work(settings: Settings, drivers: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with opened(settings) as log:
        faust_settings = log.faust_settings if drivers == "ours" else _stock(settings)
        app = faust.App(
            APP_ID, datadir=settings.data_dir / "tables", web_enabled=False, **faust_settings
        )
        folding = Folding(
            partitions=settings.partitions,
            epoch=log.epoch,
            progress=_NoProgress(),
            dead_letters=NoDeadLetters(),
            on_dead=lambda _: None,
        )
        register(app, TABLE, folding)
        await app.start()
        await app.wait(stop.wait())
        (settings.data_dir / _TABLE_FILE).write_text(json.dumps(_table(app)))
        await app.stop()
        if app.crashed:
            raise RuntimeError(repr(app.crash_reason))


def _stock(settings: Settings) -> Mapping[str, Any]:
    return {
        "broker": settings.broker_url,
        "store": "rocksdb://",
        "topic_partitions": settings.partitions,
        "topic_disable_leader": True,
        "broker_session_timeout": 10.0,
    }


def _table(app: faust.App) -> dict[str, str]:
    states = app.tables[TABLE.value].items()
    return {key.decode(): value.decode() for key, value in states}


if __name__ == "__main__":
    data_dir, broker_url, partitions, drivers = sys.argv[1:]
    logging.basicConfig(level=logging.INFO)
    asyncio.run(
        _work(
            Settings(broker_url=broker_url, partitions=int(partitions), data_dir=Path(data_dir)),
            drivers,
        )
    )
