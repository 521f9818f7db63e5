"""kill -9 at random moments under load: nothing that was acknowledged is lost."""

import asyncio
import random
import time

import pytest

from flagstream.flags import compile_flags
from tests.crash.load import Writer, write_and_kill, wrong_flags, wrong_properties
from tests.crash.stored import stored_events

ROUNDS = 30
WRITERS = 8
MAX_LOAD_S = 0.8


def gold_flags(count):
    """Flags for half of the organizations on the plan gold, each flag another half."""
    gold = [
        {"key": "plan", "value": ["gold"], "operator": "exact", "type": "group"}
        | {"group_type_index": 0}
    ]
    return {
        f"gold-{number}": {
            "aggregation_group_type_index": 0,
            "groups": [{"properties": gold, "rollout_percentage": 50}],
        }
        for number in range(count)
    }


@pytest.mark.parametrize("fsync", ["interval", "always"])
class TestKill:
    def test_nothing_acknowledged_is_lost(self, make_server, fsync):
        """
        After each of thirty kills every acknowledged event and property is there, no property is
        older than acknowledged, no flag differs, and log, tables and views agree.
        """
        seed = time.time_ns()
        moments = random.Random(seed)
        server = make_server(embedded_fsync=fsync)
        writers = [Writer(f"user-{n}", random.Random(seed + n)) for n in range(WRITERS)]
        flags = gold_flags(10)
        wrong = []

        for round_number in range(ROUNDS):
            server.start()
            if round_number == 0:
                for key, filters in flags.items():
                    server.create_flag(key, filters)
            compiled = compile_flags(
                {row["key"]: row for row in server.api("GET", "feature_flags/")["results"]},
                {"organization": 0},
            )
            for writer in writers:
                wrong += wrong_properties(server, writer) + wrong_flags(server, writer, compiled)
            write_and_kill(server, writers, moments.uniform(0.05, MAX_LOAD_S))

        server.start()
        assert 0 == server.terminate()
        verified = server.cli("verify")
        acknowledged = {
            uuid
            for writer in writers
            for write in writer.acknowledged.values()
            for uuid in write.uuids
        }
        lost = acknowledged - asyncio.run(stored_events(server.data_dir))
        assert ([], set()) == (wrong, lost), f"seed {seed}"
        assert 0 == verified.returncode, verified.stdout + verified.stderr
        assert len(acknowledged) > ROUNDS * WRITERS
