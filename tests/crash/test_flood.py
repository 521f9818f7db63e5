"""More comes in than can be folded."""

import asyncio
from pathlib import Path

import aiohttp

from tests.server import TOKEN
from tests.waiting import until

CLIENTS = 6
REQUESTS = 40
EVENTS = 400
MAX_GROWTH_BYTES = 200 * 1024 * 1024


def change(client, number, event):
    key = f"org:{client}-{event}"
    properties = {"$group_type": "organization", "$group_key": key}
    properties["$group_set"] = {"number": number, "filler": "x" * 200}
    return {"event": "$groupidentify", "distinct_id": "backend", "properties": properties}


async def flood(server):
    """Send as fast as possible; returns the last number acknowledged to each client, refusals."""
    acknowledged = dict.fromkeys(range(CLIENTS), 0)
    refused = []

    async def send(session, client):
        for number in range(1, REQUESTS + 1):
            batch = [change(client, number, event) for event in range(EVENTS)]
            async with session.post(
                f"{server.url}/batch/", json={"api_key": TOKEN, "batch": batch}
            ) as response:
                await response.read()
                if response.status == 200:
                    acknowledged[client] = number
                else:
                    refused.append((response.status, response.headers.get("Retry-After")))

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        for client in range(CLIENTS):
            tasks.create_task(send(session, client))
    return acknowledged, refused


def resident_bytes(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


class TestFlood:
    def test_backlog_is_refused_and_memory_bounded(self, make_server):
        """
        A flood is answered with 429 and Retry-After, memory stays bounded, what was acknowledged
        is folded, and the server then takes events again.
        """
        server = make_server(max_lag_changes=2_000)
        server.start()
        server.set_group("organization", "org:first", number=0)
        before = resident_bytes(server)

        acknowledged, refused = asyncio.run(flood(server))

        until(lambda: capture_status(server) == 200, 30)
        last = {f"org:{client}-0": number for client, number in acknowledged.items() if number}
        until(lambda: last == {key: stored_number(server, key) for key in last}, 30)
        assert last
        assert {429} == {status for status, _ in refused}
        assert all(retry_after.isdecimal() and int(retry_after) for _, retry_after in refused)
        assert resident_bytes(server) - before < MAX_GROWTH_BYTES


def capture_status(server):
    event = {"event": "after", "distinct_id": "u"}
    return server.request("POST", "/capture/?wait=1", {"api_key": TOKEN, **event}).status


def stored_number(server, key):
    group = server.group("organization", key)
    return None if group is None else group["number"]
