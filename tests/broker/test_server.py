"""The server with its log on a real Kafka."""

import random
import shutil
import time

import pytest
from posthog import Posthog

from tests.crash.load import Writer, write_and_kill, wrong_properties
from tests.filters import group_filters
from tests.waiting import until

pytestmark = pytest.mark.broker
ROUNDS = 2
WRITERS = 4
FLAG = "enterprise-only"
ACME = {"organization": "acme"}


@pytest.fixture
def server(kafka, make_server):
    """A server on Kafka, running."""
    server = make_server(broker_url=kafka.url)
    server.start()
    return server


class TestServer:
    def test_client(self, server):
        """
        A real client's group property decides the next flag, also after a restart without tables
        and views; before it, log, tables and views agree.
        """
        server.create_flag(FLAG, group_filters(plan="enterprise"))
        client = Posthog(server.token, host=server.url, enable_exception_autocapture=False)
        client.group_identify("organization", "acme", {"plan": "enterprise"})
        client.flush()
        until(lambda: server.flags("user-1", ACME)[FLAG]["enabled"])

        assert client.evaluate_flags("user-1", groups=ACME).is_enabled(FLAG)
        client.shutdown()
        assert 0 == server.terminate()
        verified = server.cli("verify")
        assert 0 == verified.returncode, verified.stdout + verified.stderr
        shutil.rmtree(server.data_dir / "tables")
        shutil.rmtree(server.data_dir / "views")
        server.start()
        assert server.flags("user-1", ACME)[FLAG]["enabled"]

    def test_what_was_written_last(self, server):
        """
        Events and the changes of a group are listed from Kafka.
        """
        for plan in ("free", "gold"):
            server.set_group("organization", "acme", plan=plan)

        changes = server.api("GET", "groups/activity/?group_type_index=0&group_key=acme")["results"]
        events = server.api("GET", "events/?event=%24groupidentify")["results"]

        assert ["gold", "free"] == [
            change["after"] for each in changes for change in each["detail"]["changes"]
        ]
        assert [each["uuid"] for each in events] == [each["event_uuid"] for each in changes]

    def test_kills_lose_nothing(self, server):
        """
        After each kill no acknowledged property is lost; log, tables and views agree.
        """
        seed = time.time_ns()
        moments = random.Random(seed)
        writers = [Writer(f"user-{n}", random.Random(seed + n)) for n in range(WRITERS)]
        wrong = []

        for _ in range(ROUNDS):
            write_and_kill(server, writers, moments.uniform(0.05, 0.8))
            server.start()
            for writer in writers:
                wrong += wrong_properties(server, writer)

        assert 0 == server.terminate()
        verified = server.cli("verify")
        assert [] == wrong, f"seed {seed}"
        assert 0 == verified.returncode, f"seed {seed}: {verified.stdout}{verified.stderr}"
        assert sum(len(writer.acknowledged) for writer in writers) > ROUNDS * WRITERS

    def test_broker_goes_and_comes_back(self, kafka, server):
        """
        Without its broker the server answers flags and refuses events; later it takes them again.
        """
        server.create_flag(FLAG, group_filters(plan="enterprise"))
        server.set_group("organization", "acme", plan="enterprise")
        kafka.kill()

        assert server.flags("user-1", ACME)[FLAG]["enabled"]
        refused = server.request("POST", "/e/", event("acme", "free"))
        assert 503 == refused.status
        assert server.process.poll() is None

        kafka.up()
        taken = until(lambda: server.request("POST", "/e/", event("acme", "gold")).status == 200)
        assert taken
        until(lambda: {"plan": "gold"} == server.group("organization", "acme"))
        assert 0 == server.terminate()

    def test_stop_without_broker(self, kafka, server):
        """
        A server whose broker is gone stops in time; when it starts again, nothing is lost.
        """
        server.set_group("organization", "acme", plan="enterprise")
        kafka.kill()
        server.terminate()

        kafka.up()
        server.start()
        assert {"plan": "enterprise"} == server.group("organization", "acme")


def event(key, plan):
    """A group's event as posthog-js sends it."""
    properties = {"$group_type": "organization", "$group_key": key, "$group_set": {"plan": plan}}
    return {
        "api_key": "phc_tests",
        "event": "$groupidentify",
        "distinct_id": "user-1",
        "properties": properties,
    }
