"""Producers that write to our topics themselves, as the guide tells them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from flagstream.transport.kafka_connection import bootstrap_servers
from tests.filters import group_filters
from tests.waiting import until

pytestmark = pytest.mark.broker
GUIDE = Path(__file__).parents[2] / "docs/guides/streaming-groups.md"


def example():
    """The program in the guide."""
    (program,) = re.findall(
        r"^```python\n(import .*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL
    )
    return program


def test_the_guide(kafka, make_server):
    """
    What the guide's producer writes decides a flag, on the partition where the group's other
    updates are.
    """
    server = make_server(broker_url=kafka.url, partitions=5)
    server.start()
    server.set_group("organization", "acme", plan="free", seats=3)
    server.create_flag("gold", group_filters(plan="gold"))
    program = f"BROKERS = {bootstrap_servers(kafka.url)!r}\n{example()}"

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

    until(lambda: server.flags("user", {"organization": "acme"})["gold"]["enabled"])
    assert {"plan": "gold", "seats": 3} == server.group("organization", "acme")
