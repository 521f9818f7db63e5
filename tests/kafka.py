"""A real Kafka for the tests, run by ``scripts/kafka``."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from flagstream.transport.kafka import bootstrap_servers

SCRIPT = Path(__file__).parent.parent / "scripts" / "kafka"
GONE_TIMEOUT_S = 10.0


class Kafka:
    """One node; its port stays the same when it is started again."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.url = ""

    def up(self) -> None:
        """Start it where it does not run; returns once it is ready."""
        self.url = self._run("up", "--port", "0").splitlines()[-1]

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
        """Delete every topic, and with it the offsets that were committed for it."""
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers(self.url))
        await admin.start()
        try:
            topics = await admin.list_topics()
            await admin.delete_topics([name for name in topics if not name.startswith("__")])
        finally:
            await admin.close()

    def _run(self, action: str, *options: str) -> str:
        command = [str(SCRIPT), action, *options, "--data", str(self._data)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout
