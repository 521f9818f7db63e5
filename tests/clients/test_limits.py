"""Clients of a project that is over its rates: nothing breaks, and what they send arrives once."""

from collections import Counter

import pytest
from posthog import Posthog

from tests.clients.programs import run
from tests.clients.versions import NODE
from tests.waiting import until

FLAG = "everybody"
TODAYS_NODE = next(iter(NODE))
EVENTS = [f"event {number}" for number in range(60)]
OTHER_EVENTS = 300


@pytest.fixture
def server(make_server):
    """A server with a flag that everybody has, whose projects may send little."""
    server = make_server(max_events_per_s=20, rate_burst_s=1)
    server.start()
    server.create_flag(FLAG, {"groups": [{"rollout_percentage": 100}]})
    return server


def limit_flags(server):
    """Let the project ask once, and then not for minutes."""
    server.api("PATCH", "", {"max_flag_requests_per_s": 0.005})


def warnings(server):
    """What the server says that it has refused, by kind."""
    found = server.api("GET", "ingestion_warnings/")["results"]
    return {each["kind"]: each["count"] for each in found}


def stored(server):
    """The events of the log, by name."""
    found, path = Counter(), "events/?limit=100"
    page = server.api("GET", path)
    found.update(each["event"] for each in page["results"] if each["event"] in EVENTS)
    return found


def once(server):
    """Tell whether all events are there, each of them once."""
    found = stored(server)
    assert set(found.values()) <= {1}, found
    return len(found) == len(EVENTS)


@pytest.fixture
def client(server):
    """posthog-python; what it has queued is sent when the test flushes it."""
    client = Posthog(server.token, host=server.url, flush_at=10, flush_interval=0.1)
    yield client
    client.shutdown()


class TestPython:
    def test_events(self, server, client):
        """
        What is refused is sent again when it was told to, and arrives once.
        """
        for name in EVENTS:
            client.capture(name, distinct_id="user-1")
        client.flush()

        until(lambda: once(server), 30)
        assert warnings(server)["events_rate_limited"] >= 10

    def test_flags(self, server, client):
        """
        Over the rate a flag is unknown, and events are taken as before.
        """
        limit_flags(server)
        known, unknown = (client.evaluate_flags("user-1").get_flag(FLAG) for _ in range(2))
        client.capture(EVENTS[0], distinct_id="user-1")
        client.flush()

        assert (True, None) == (known, unknown)
        until(lambda: {EVENTS[0]: 1} == stored(server))
        assert {"flags_rate_limited": 1} == warnings(server)


class TestNode:
    def test_events(self, server):
        """
        What is refused is sent again, and arrives once.
        """
        calls = [["capture", {"distinctId": "user-1", "event": name}] for name in EVENTS]
        options = {"host": server.url, "flushAt": 10}
        run(TODAYS_NODE, "client", {"token": server.token, "options": options, "calls": calls})

        assert once(server)
        assert warnings(server)["events_rate_limited"] >= 10


class TestBrowser:
    def test_page(self, server, visit):
        """
        A page keeps the flags that it has, sends again what was refused, and all arrives once.
        """
        visitor = visit()
        visitor.load()
        visitor.wait_flag(FLAG, value=True)
        limit_flags(server)
        server.flags("user-1")
        with visitor.page.expect_response(
            lambda response: "/flags/?" in response.url and response.request.method == "POST"
        ) as answered:
            visitor.call("reloadFeatureFlags")
        # A batch is taken whole: what it has too much keeps others out for some 15 seconds.
        server.capture(*[{"event": "other", "distinct_id": "user-2"}] * OTHER_EVENTS)
        for name in EVENTS:
            visitor.call("capture", name)

        assert 429 == answered.value.status
        until(lambda: once(server), 60)
        assert visitor.page.evaluate("key => posthog.isFeatureEnabled(key)", FLAG) is True
        assert {"events_rate_limited", "flags_rate_limited"} <= warnings(server).keys()
