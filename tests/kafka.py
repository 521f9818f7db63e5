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
    """One node; its port stays the same when it is started again."""

    def __init__(self, data: Path, properties: Path | None = None) -> None:
        self._data = data
        self._properties = ["--properties", str(properties)] if properties else []
        self.url = ""

    def up(self) -> None:
        """Start it where it does not run; returns once it is ready."""
        self.url = self._run("up", "--port", "0", *self._properties).splitlines()[-1]

    def down(self) -> None:
        """End it and remove its data."""
        self._run("down")

    def kill(self) -> None:
        """Kill it without a warning; its data stays."""
        [node] = json.loads((self._data / "cluster.json").read_text())
        os.kill(node["pid"], signal.SIGKILL)
        deadline = time.monotonic() + GONE_TIMEOUT_S
        while Path(f"/proc/{node['pid']}/exe").exists() and time.monotonic() < deadline:
            time.sleep(0.01)

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
