"""Schedules carried out by two nodes on one Kafka, neither of which waits for the other."""

from itertools import pairwise

import pytest

from tests.crash.test_schedules import ROLLOUT, changes, is_done, plan, rising
from tests.server import START_TIMEOUT_S
from tests.waiting import until

pytestmark = pytest.mark.broker


@pytest.fixture
def nodes(kafka, make_server):
    """A node that does everything, and one that answers."""
    nodes = [make_server(broker_url=kafka.url, role=role) for role in ("all", "api")]
    for each in nodes:
        each.launch()
    until(lambda: all(each.is_ready() for each in nodes), START_TIMEOUT_S)

    yield nodes

    # Not killed: the group of the next test would wait for them.
    nodes[0].terminate()


def test_each_step_once(nodes):
    """
    Two nodes make each step once, also where one of them is killed; a person's edit in between
    stays, and so does a stop.
    """
    first, second = nodes
    first.create_flag("new", ROLLOUT)
    schedule_id = plan(first, steps=rising())
    until(lambda: len(changes(second)) >= 3)
    edited = second.api("PATCH", "feature_flags/1/", {"name": "mine"})
    second.kill()
    until(lambda: is_done(first, schedule_id), 30)

    flag = first.api("GET", "feature_flags/1/")
    assert ("mine", 100) == (flag["name"], flag["filters"]["groups"][0]["rollout_percentage"])
    by_schedule = [each for each in changes(first) if each["author"].startswith("schedule")]
    assert len(by_schedule) == len({each["id"] for each in by_schedule})
    assert edited["version"] in {each["version"] for each in changes(first)}
    assert all(one["version"] < other["version"] for one, other in pairwise(by_schedule))
    second.start()
    late = plan(second, scheduled_at="2999-01-01T00:00:00Z", change={"active": False})
    until(lambda: first.api("GET", "schedules/")["results"])
    first.api("POST", f"feature_flags/new/schedule/{late}/stop/")
    until(lambda: second.api("GET", "schedules/")["results"] == [])
