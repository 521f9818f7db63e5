"""A real Kafka for the tests, run by ``scripts/kafka``."""

import asyncio
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from flagstream.transport.kafka_connection import bootstrap_servers

SCRIPT = Path(__file__).parent.parent / "scripts" / "kafka"
GONE_TIMEOUT_S = 10.0
WIPE_TIMEOUT_S = 30.0
POLL_S = 0.05


class Kafka:
    """One node or three; their ports stay the same when they are started again."""

    def __init__(self, data: Path, properties: Path | None = None, *, nodes: int = 1) -> None:
        self._data = data
        self._nodes = nodes
        self._properties = ["--properties", str(properties)] if properties else []
        self.url = ""

    def up(self) -> None:
        """Start what does not run; returns once all are ready."""
        options = (str(self._nodes), "--port", "0", *self._properties)
        self.url = self._run("up", *options).splitlines()[-1]

    def down(self) -> None:
        """End all and remove their data."""
        self._run("down")

    def kill(self, index: int = 0) -> None:
        """Kill one without a warning; its data stays."""
        pid = self._pid(index)
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + GONE_TIMEOUT_S
        while Path(f"/proc/{pid}/exe").exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    def signal(self, index: int, number: signal.Signals) -> None:
        """Send one a signal."""
        os.kill(self._pid(index), number)

    def _pid(self, index: int) -> int:
        pid: int = json.loads((self._data / "cluster.json").read_text())[index]["pid"]
        return pid

    async def wipe(self) -> None:
        """
        Delete every topic, and with it the offsets that were committed for it.

        Returns once the node lists none: it answers from the state before until it has followed the
        controller, and topics of the same name that are made meanwhile would show the old settings.
        """
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers(self.url))
        await admin.start()
        try:
            async with asyncio.timeout(WIPE_TIMEOUT_S):
                while topics := await _own_topics(admin):
                    await admin.delete_topics(topics)
                    await asyncio.sleep(POLL_S)
        finally:
            await admin.close()

    def _run(self, action: str, *options: str) -> str:
        command = [str(SCRIPT), action, *options, "--data", str(self._data)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


async def _own_topics(admin: AIOKafkaAdminClient) -> list[str]:
    return [name for name in await admin.list_topics() if not name.startswith("__")]
