"""A worker that hangs is told of, and replaced; one whose disk is full goes on."""

import os
import shutil

import pytest

from tests.broker.hanging import HANGS
from tests.broker.test_nodes import POSITION, STALE, WORKER_GONE_TIMEOUT_S
from tests.crash.test_failures import tmpfs
from tests.waiting import until

pytestmark = pytest.mark.broker
MAX_STALL_S = 4.0
SMALL_MB = 64


@pytest.fixture
def make_worker(kafka, make_server):
    return lambda: make_server(broker_url=kafka.url, role="worker", kafka_max_stall_s=MAX_STALL_S)


@pytest.fixture
def start(kafka, make_server):
    """Start a worker, with an API node beside it; returns that."""
    api = make_server(broker_url=kafka.url, role="api")

    def start(worker):
        api.launch()
        worker.start()
        until(api.is_ready, 30)
        return api

    return start


def is_alive(worker):
    return worker.request("GET", "/_liveness").status == 200


def write(api, key, **properties):
    """Set properties of a group without waiting; returns the position."""
    group = {"$group_type": "company", "$group_key": key, "$group_set": properties}
    event = {"event": "$groupidentify", "distinct_id": "user-1", "properties": group}
    answer = api.request("POST", "/batch/", {"api_key": api.token, "batch": [event]})
    assert answer.status == 200, answer
    return answer.headers[POSITION]


def is_folded(api, position):
    body = {"token": api.token, "distinct_id": "user-1"}
    answer = api.request("POST", "/flags/?v=2", body, {POSITION: position})
    assert answer.status == 200, answer
    return answer.headers.get(STALE) is None


def fill(directory):
    """Take away all room."""
    with (directory / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(directory).free)


class TestStalls:
    def test_a_worker_that_hangs(self, make_worker, start):
        """
        It is not alive any more, flags are answered meanwhile, and the worker that takes its place
        folds what has waited.
        """
        worker = make_worker()
        worker.program = ("-m", "tests.broker.hanging")
        api = start(worker)
        assert is_folded(api, write(api, "acme", plan="gold"))
        assert is_alive(worker)

        position = write(api, HANGS, plan="gold")

        until(lambda: not is_alive(worker), 10 * MAX_STALL_S)
        assert not is_folded(api, position)
        worker.kill()
        other = make_worker()
        other.start()
        until(lambda: is_folded(api, position), WORKER_GONE_TIMEOUT_S)
        assert {"plan": "gold"} == api.group("company", HANGS)
        assert is_alive(other)
        # Not killed: the group of the next test would wait for it.
        assert 0 == other.terminate()

    def test_a_worker_whose_disk_is_full(self, make_worker, start, tmp_path):
        """
        It goes on folding, for as long as it has memory: what it cannot store is in the changelog,
        where the next worker has it from.
        """
        with tmpfs(tmp_path / "small", SMALL_MB) as small:
            worker = make_worker()
            worker.data_dir = small / "data"
            worker.environment["FLAGSTREAM_DATA_DIR"] = str(worker.data_dir)
            api = start(worker)
            assert is_folded(api, write(api, "acme", plan="gold"))
            fill(small)

            def is_full():
                assert is_folded(api, write(api, "acme", filler=os.urandom(50_000).hex()))
                return "takes no writes" in worker.log.read_text()

            until(is_full, 30)
            assert is_folded(api, write(api, "acme", plan="silver", filler=""))
            assert is_alive(worker)
            worker.kill()
        other = make_worker()
        other.start()
        until(lambda: is_folded(api, write(api, "acme", seats=3)), WORKER_GONE_TIMEOUT_S)
        expected = {"plan": "silver", "filler": "", "seats": 3}
        assert expected == api.group("company", "acme")
        assert 0 == other.terminate()
