"""Clients that send again what the server took before it was killed: nothing is doubled."""

import asyncio
import random
import time
import uuid

import pytest

from tests.crash.stored import stored_uuids
from tests.server import TOKEN
from tests.waiting import until

ROUNDS = 5
EVENTS = 40
RETRY_PAUSE_S = 1.0  # of the most impatient client


@pytest.fixture(params=[0, 2], ids=["one process", "several processes"])
def server(request, make_server):
    server = make_server(api_processes=request.param)
    server.start()
    return server


def page_view(number):
    """An event that changes no state, so that no state knows it."""
    return {
        "event": "$pageview",
        "uuid": str(uuid.UUID(int=number, version=4)),
        "distinct_id": f"user-{number % 7}",
        "properties": {"$process_person_profile": False},
    }


def send(server, events):
    """Send over a connection of its own until the answer is 200, as clients do."""

    def is_taken():
        try:
            answer = server.request("POST", "/batch/", {"api_key": TOKEN, "batch": events})
        except OSError:
            return False
        return answer.status == 200

    until(is_taken, 30)


class TestRetries:
    def test_after_a_kill(self, server):
        """
        Whatever was sent before a kill, answered or not, is sent once more to the next process, and
        is in the log once.
        """
        seed = time.time_ns()
        chance = random.Random(seed)
        sent = []
        for round_number in range(ROUNDS):
            events = [page_view(round_number * EVENTS + n) for n in range(EVENTS)]
            cut = chance.randrange(EVENTS)
            for start in range(0, cut, 5):
                send(server, events[start : start + 5])
            server.kill()
            server.start()
            send(server, events)
            sent += events

        assert 0 == server.terminate()
        expected = {event["uuid"]: 1 for event in sent}
        assert expected == asyncio.run(stored_uuids(server.data_dir)), f"seed {seed}"

    def test_whichever_process(self, server):
        """
        A retry that comes to another process than the first attempt, a moment later, is known.
        """
        events = [page_view(number) for number in range(EVENTS)]
        send(server, events)
        probe = page_view(EVENTS)
        send(server, [probe])
        time.sleep(RETRY_PAUSE_S)
        for _ in range(12):
            send(server, [*events, probe])

        assert 0 == server.terminate()
        expected = {event["uuid"]: 1 for event in [*events, probe]}
        assert expected == asyncio.run(stored_uuids(server.data_dir))
