"""One server in several processes: what one of them took is read at all, whoever is killed."""

import asyncio
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import aiohttp
import pytest

from flagstream.flags import compile_flags
from flagstream.topics import Topic, record_key
from tests.crash.load import Writer, wrong_flags, wrong_properties
from tests.crash.stored import append_raw, stored_events
from tests.crash.test_kill import gold_flags
from tests.filters import group_filters
from tests.server import TOKEN
from tests.waiting import until

PROCESSES = 3
FLAG = "gold-only"
POSITION, STALE = "X-Flagstream-Position", "X-Flagstream-Stale"
WRITERS = 8
ROUNDS = 8
GONE = 20  # connections, so that each process is all but certain to get one


@pytest.fixture
def server(make_server):
    """A running server of several processes, with a flag for gold companies."""
    server = make_server(api_processes=PROCESSES)
    start(server)
    server.set_group("company", "acme", plan="free")
    server.create_flag(FLAG, group_filters(plan="gold"))
    return server


def api_pids(server):
    """The API processes of a server, in the order of their start."""
    found = subprocess.run(
        ["pgrep", "--parent", str(server.process.pid)], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def metric(server, name, process=None):
    """The sum of a metric over all processes, or of one."""
    wanted = "" if process is None else f'process="{process}"'
    lines = server.request("GET", "/metrics").body.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith((f"{name}{{", f"{name} ")) and wanted in line
    )


def start(server, processes=PROCESSES):
    """Start a server, and wait until each of its processes answers and none of before does."""
    server.launch()
    until(lambda: is_whole(server, processes), 90)


def is_whole(server, processes=PROCESSES):
    """Tell whether each process answers."""
    try:
        return processes == metric(server, "flagstream_api_processes", "worker")
    except OSError:
        return False


def is_gold(server, headers=None):
    """Ask for the flag over a connection of its own; its value, and whether it may be old."""
    body = {"token": TOKEN, "distinct_id": "user-1", "groups": {"company": "acme"}}
    answer = server.request("POST", "/flags/?v=2", body, headers)
    assert answer.status == 200, answer
    return answer.body["flags"][FLAG]["enabled"], answer.headers.get(STALE) is not None


def write(server, plan, path="/batch/"):
    """Set the plan over a connection of its own; returns the position."""
    properties = {"$group_type": "company", "$group_key": "acme", "$group_set": {"plan": plan}}
    event = {"event": "$groupidentify", "distinct_id": "user-1", "properties": properties}
    answer = server.request("POST", path, {"api_key": TOKEN, "batch": [event]})
    assert answer.status == 200, answer
    return answer.headers[POSITION]


class TestReads:
    def test_what_was_written_at_one_is_read_at_all(self, server):
        """
        Who names the position of a write sees it at every process, change for change.
        """
        for number in range(60):
            plan = ("gold", "free")[number % 2]
            position = write(server, plan)

            assert (plan == "gold", False) == is_gold(server, {POSITION: position})
        assert all(
            metric(server, "flagstream_events_accepted_total", f"api-{number}") > 0
            for number in range(PROCESSES)
        )

    def test_writes_right_after_each_other(self, server):
        """
        A change back to what a process still shows is no repetition: the last one counts.
        """
        for number in range(60):
            for plan in ("gold", "free") if number % 2 else ("free", "gold"):
                position = write(server, plan)

            assert (plan == "gold", False) == is_gold(server, {POSITION: position})

    def test_definitions_one_after_the_other(self, server):
        """
        Flags that are made over any processes get ids of their own, and all processes have them.
        """
        for number in range(20):
            server.create_flag(f"flag-{number}", group_filters(plan="gold"))

        rows = server.api("GET", "feature_flags/?limit=100")["results"]
        assert 21 == len({row["id"] for row in rows})
        for _ in range(GONE):
            until(lambda: len(server.flags("user-1", {"company": "acme"})) == 21)

    def test_metrics_of_all_in_one_scrape(self, server):
        """
        Whichever process is asked, it tells of itself, the others and the worker.
        """
        for _ in range(GONE):
            text = server.request("GET", "/metrics").body
            named = {f'process="api-{number}"' for number in range(PROCESSES)}
            assert all(name in text for name in named | {'process="worker"'})

        assert PROCESSES == metric(server, "flagstream_api_processes", "worker")

    def test_what_was_written_last(self, server):
        """
        Events and the changes of a group are listed at any process.
        """
        for number in range(GONE):
            write(server, f"plan-{number}")

            newest, *_ = server.api("GET", "groups/activity/?group_type_index=0&group_key=acme")[
                "results"
            ]
            event, *_ = server.api("GET", "events/")["results"]
            (change,) = newest["detail"]["changes"]
            assert f"plan-{number}" == change["after"]
            assert (event["uuid"], {"plan": change["after"]}) == (
                newest["event_uuid"],
                event["properties"]["$group_set"],
            )

    def test_dead_letters(self, server):
        """
        They are listed and replayed at any process.
        """
        server.terminate()
        key = record_key(1, "company", "acme")
        asyncio.run(append_raw(server.data_dir, Topic.GROUP_UPDATES, key, b"poison"))
        start(server)
        letters = until(lambda: server.api("GET", "dead_letters/")["results"])

        body = {"ids": [letters[0]["id"]]}
        assert {"replayed": 1} == server.api("POST", "dead_letters/replay/", body)
        until(lambda: len(server.api("GET", "dead_letters/")["results"]) == 2)


async def write_meanwhile(server, writers, disturb):
    """Let all writers write, over new connections when theirs break, while something happens."""
    stopping = asyncio.Event()

    async def write(writer, session):
        while not stopping.is_set():
            try:
                await writer.write(session, server.url)
            except (aiohttp.ClientError, ConnectionError):
                # What was sent may still arrive, and must not overtake what comes next.
                await asyncio.sleep(0.05)

    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
        asyncio.TaskGroup() as tasks,
    ):
        for writer in writers:
            tasks.create_task(write(writer, session))
        await asyncio.to_thread(disturb)
        stopping.set()


class TestKill:
    def test_api_processes_under_load(self, make_server):
        """
        Whoever of them is killed, nothing that was acknowledged is lost, the others go on, and it
        comes back.
        """
        seed = time.time_ns()
        moments = random.Random(seed)
        server = make_server(api_processes=PROCESSES)
        start(server)
        writers = [Writer(f"user-{n}", random.Random(seed + n)) for n in range(WRITERS)]
        for key, filters in gold_flags(5).items():
            server.create_flag(key, filters)

        def kill_some():
            for _ in range(ROUNDS):
                time.sleep(moments.uniform(0.3, 1.2))
                os.kill(moments.choice(until(lambda: api_pids(server))), signal.SIGKILL)

        asyncio.run(write_meanwhile(server, writers, kill_some))

        until(lambda: is_whole(server), 90)
        assert ROUNDS == metric(server, "flagstream_api_process_exits_total", "worker")
        check(server, writers, seed)

    @pytest.mark.parametrize("everybody", [True, False])
    def test_the_server_under_load(self, make_server, everybody):
        """
        After each kill of the worker, alone or with all others, everything acknowledged is there.
        """
        seed = time.time_ns()
        moments = random.Random(seed)
        server = make_server(api_processes=2)
        writers = [Writer(f"user-{n}", random.Random(seed + n)) for n in range(WRITERS)]

        def kill():
            time.sleep(moments.uniform(0.1, 0.8))
            for pid in [*(api_pids(server) if everybody else ()), server.process.pid]:
                os.kill(pid, signal.SIGKILL)

        for round_number in range(ROUNDS):
            start(server, 2)
            if round_number == 0:
                for key, filters in gold_flags(5).items():
                    server.create_flag(key, filters)
            asyncio.run(write_meanwhile(server, writers, kill))
            server.process.wait()

        start(server, 2)
        check(server, writers, seed)

    def test_the_worker(self, server):
        """
        Without it flags are answered as before and events are refused, until the next one takes
        over; at the end no process is left.
        """
        write(server, "gold", "/batch/?wait=1")
        until(lambda: all(is_gold(server)[0] for _ in range(GONE)))
        orphans = api_pids(server)
        server.kill()

        assert all(is_gold(server) == (True, False) for _ in range(GONE))
        event = {"api_key": TOKEN, "event": "lost", "distinct_id": "u"}
        assert 503 == server.request("POST", "/capture/", event).status
        server.launch()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans), 20)
        until(lambda: is_whole(server), 90)
        assert (True, False) == is_gold(server)

    def test_a_worker_that_stands_still(self, server):
        """
        Flags are answered, events are refused after a while, and taken again once it goes on.
        """
        event = {"api_key": TOKEN, "event": "late", "distinct_id": "u"}
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            assert all(is_gold(server) == (False, False) for _ in range(GONE))
            assert 503 == server.request("POST", "/capture/", event).status
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        assert 200 == server.request("POST", "/capture/?wait=1", event).status

    def test_one_that_stands_still(self, server):
        """
        The worker does not wait for a process that is stopped, nor do requests at the others.
        """
        still = api_pids(server)[0]
        os.kill(still, signal.SIGSTOP)
        try:
            answered = 0
            for number in range(30):
                answered += asyncio.run(capture_in_time(server, number))
            assert answered > 5
        finally:
            os.kill(still, signal.SIGCONT)
        until(lambda: is_gold(server) == (False, False))


async def capture_in_time(server, number):
    """Send an event; False where the connection went to a process that does not answer."""
    event = {"api_key": TOKEN, "event": f"event-{number}", "distinct_id": "u"}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session,
            session.post(f"{server.url}/capture/?wait=1", json=event) as response,
        ):
            return response.status == 200
    except TimeoutError:
        return False


def check(server, writers, seed):
    """Nothing acknowledged is lost; what is answered follows from it; log and views agree."""
    for _ in range(3):
        compiled = compile_flags(
            {row["key"]: row for row in server.api("GET", "feature_flags/")["results"]},
            {t["group_type"]: t["group_type_index"] for t in server.api("GET", "groups_types/")},
        )
        flags = [problem for w in writers for problem in wrong_flags(server, w, compiled)]
        properties = [problem for w in writers for problem in wrong_properties(server, w)]
        assert ([], []) == (flags, properties), f"seed {seed}"
    assert 0 == server.terminate()
    acknowledged = {
        uuid for writer in writers for each in writer.acknowledged.values() for uuid in each.uuids
    }
    lost = acknowledged - asyncio.run(stored_events(server.data_dir))
    verified = server.cli("verify")
    assert set() == lost, f"seed {seed}"
    assert 0 == verified.returncode, verified.stdout + verified.stderr
    assert len(acknowledged) > ROUNDS * WRITERS


class TestStop:
    def test_requests_in_flight_are_answered(self, make_server):
        """
        SIGTERM under load: whatever was acknowledged is folded before the end, exit code 0, and no
        process is left.
        """
        seed = time.time_ns()
        server = make_server(api_processes=PROCESSES)
        start(server)
        writers = [Writer(f"user-{n}", random.Random(seed + n)) for n in range(WRITERS)]
        pids = api_pids(server)
        returned = []

        def stop():
            time.sleep(0.7)
            returned.append(server.terminate())

        asyncio.run(write_meanwhile(server, writers, stop))

        assert [0] == returned
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
        start(server)
        check(server, writers, seed)

    def test_second_server_is_told(self, server, make_server):
        """
        Somebody else's port is refused, although these processes share one.
        """
        other = make_server(api_processes=1, port=server.port)

        refused = other.cli("serve")

        assert 0 != refused.returncode
        assert f"cannot listen on 127.0.0.1:{server.port}" in refused.stderr
        assert "Traceback" not in refused.stderr
