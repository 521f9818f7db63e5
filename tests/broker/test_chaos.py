"""A cluster of three brokers, three workers and two API nodes in trouble: the short form."""

import time

import pytest

from tests.chaos.rounds import run

pytestmark = pytest.mark.broker
RATE = 200
ROUNDS = [
    ["worker_stopped", "coordinator_killed", "api_wiped"],
    ["worker_wiped", "api_terminated", "workers_killed"],
]


def test_nothing_is_lost_and_flags_are_answered(tmp_path):
    """
    Whatever dies, stalls or comes back empty: every acknowledged change is kept, the invariants
    hold, nodes answer alike, and who was not hurt has answered every flag request. Compaction runs
    in the second round.
    """
    seed = time.time_ns() % 1_000_000
    report = run(tmp_path, ROUNDS, seed=seed, rate=RATE)

    for name, problems in report.problems.items():
        assert [] == problems, f"{name}, seed {seed}"
    assert len(ROUNDS) == len(report.rounds)
    assert all(each["acknowledged"] > 1_000 and each["asked"] > 100 for each in report.rounds)
    assert all(each["seen"] > 100 for each in report.rounds)
