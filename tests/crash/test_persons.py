"""kill -9 right after people have logged in: who was one person stays one."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from posthog import Posthog

from tests.server import Server

FLAG = "pro"
IDS = ["user-1", "anon-1", "phone-1", "old-1"]


@contextmanager
def posthog(server: Server) -> Iterator[Posthog]:
    """A backend's client; all that it was told is acknowledged once it is left."""
    client = Posthog(server.token, host=server.url, enable_exception_autocapture=False)
    yield client
    client.shutdown()


def log_in(client: Posthog, distinct_id: str, anonymous_id: str, **properties: object) -> None:
    login = {"$anon_distinct_id": anonymous_id, "$set": properties}
    client.capture("$identify", distinct_id=distinct_id, properties=login)


def persons(server: Server) -> list[dict]:
    """Read the person behind each of the ids."""
    return [server.api("GET", f"persons/{each}") for each in IDS]


@pytest.mark.parametrize("fsync", ["interval", "always"])
class TestPersons:
    def test_one_person(self, make_server, fsync):
        """
        Ids that were merged by logins and by aliases in both directions, some before and some after
        a kill, are one person with the properties of all; log, tables and views agree.
        """
        server = make_server(embedded_fsync=fsync)
        server.start()
        pro = {"key": "plan", "type": "person", "value": "pro", "operator": "exact"}
        server.create_flag(FLAG, {"groups": [{"properties": [pro], "rollout_percentage": 100}]})

        with posthog(server) as client:
            client.set(distinct_id="anon-1", properties={"city": "Oslo", "plan": "free"})
            client.capture("opened", distinct_id="old-1")
            log_in(client, "user-1", "anon-1", plan="pro")
            client.alias("user-1", "old-1")
        server.kill()
        server.start()
        with posthog(server) as client:
            client.alias("phone-1", "user-1")
            log_in(client, "user-1", "anon-1", plan="pro")
            client.set(distinct_id="old-1", properties={"seats": 3})
        server.kill()
        server.start()

        found = persons(server)
        assert [found[0]] * len(IDS) == found
        assert sorted(IDS) == sorted(found[0]["distinct_ids"])
        assert ("user-1", True) == (found[0]["id"], found[0]["is_identified"])
        assert {"city": "Oslo", "plan": "pro", "seats": 3} == found[0]["properties"]
        assert [True] * len(IDS) == [server.flags(each)[FLAG]["enabled"] for each in IDS]
        assert 1 == len(server.api("GET", "persons/")["results"])
        assert 0 == server.terminate()
        verified = server.cli("verify")
        assert 0 == verified.returncode, verified.stdout + verified.stderr
