"""What nodes on Kafka show, and where."""

import pytest

from tests.crash.test_log_privacy import MARK, Marked, logged
from tests.server import free_port
from tests.waiting import until

pytestmark = pytest.mark.broker


def test_logs(kafka, tmp_path):
    """
    Neither what was sent nor what was written to Kafka is in the log, however much is told.
    """
    log = logged(Marked(tmp_path / "data", broker_url=kafka.url))

    assert "" == "\n".join(line for line in log.splitlines() if MARK in line)
    assert "DEBUG" in log


@pytest.mark.parametrize("role", ["worker", "all"])
def test_admin_port(kafka, make_server, role):
    """
    A node of any role says on its first port whether it is ready, and on the port of operators its
    metrics.
    """
    admin_port = free_port()
    node = make_server(broker_url=kafka.url, role=role, admin_port=admin_port)
    node.start()

    assert [200, 404] == [node.request("GET", path).status for path in ("/_readiness", "/metrics")]
    node.url = f"http://127.0.0.1:{admin_port}"
    until(lambda: node.request("GET", "/_readiness").status == 200)
    assert 200 == node.request("GET", "/metrics").status
    assert 0 == node.terminate()
