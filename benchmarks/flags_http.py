"""
How many ``/flags`` answers a CPU-second gives, next to a bare aiohttp handler.

Both servers run in processes of their own, on uvloop and the same runner, ours with the garbage
collector as in production. The bare one inflates and parses the body and answers the very bytes
that flagstream answers, as a constant. One flag is of groups, with a test of a group's property; of
more, every other one looks at the person instead: at what is stored and at what the request says.
200 users of as many organizations ask again and again in the same words, as pages that load and
backends that check do; with ``kept: false`` nothing is kept from one request to the next, as if
each asked for the first time, and of a group that nobody asked for.

Rounds are interleaved and the servers' own CPU time is counted, because machines are noisy; of each
side the best round counts.

    python -m benchmarks.flags_http [--rounds 8] [--seconds 1]
"""

import argparse
import gzip
import json
import sys
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import uvloop
from aiohttp import web

from benchmarks.load import ANY_RATE, Load, Target, serve, server
from flagstream.api import create_app
from flagstream.routes import flags as flag_routes
from flagstream.routes import ready_answers
from flagstream.serving import spare_the_collector
from flagstream.settings import Settings
from flagstream.state.groups import GroupUpdate, fold_group
from flagstream.state.persons import PersonUpdate, fold_person
from flagstream.topics import Table, record_key
from flagstream.views import StoredState, ViewStore
from flagstream.views.layout import table_key
from tests.fakes.views import PROJECT, FakeCatalog
from tests.fakes.world import World

GROUP_KEYS = [f"org-{number}" for number in range(200)]
USERS = {key: f"01a20745-1c92-7f95-b65a-{number:012}" for number, key in enumerate(GROUP_KEYS)}
KEEPING, FORGETTING = "flagstream", "forgetting"
CASES = (
    # Flags, connections, the clients that ask, and the server.
    (1, 16, ("node", "js"), KEEPING),
    (50, 16, ("node", "js"), KEEPING),
    (50, 16, ("node", "js"), FORGETTING),
    (500, 8, ("node",), KEEPING),
    (500, 8, ("node",), FORGETTING),
)


def flag_row(number: int) -> dict[str, Any]:
    """
    A flag with a rollout.

    It tests a property of the group if *number* is odd, one of the person if it is even, and
    nothing if it is divisible by four.
    """
    test: dict[str, Any] = {"key": "plan", "value": ["pro"], "operator": "exact"}
    if number % 2:
        tests, aggregated = [{**test, "type": "group", "group_type_index": 0}], 0
    else:
        tests, aggregated = ([{**test, "type": "person"}] if number % 4 else []), None
    condition = {"properties": tests, "rollout_percentage": 50}
    return {
        "id": number,
        "key": f"flag-{number}",
        "name": "",
        "filters": {"groups": [condition], "aggregation_group_type_index": aggregated},
        "active": True,
        "deleted": False,
        "version": 1,
        "bucketing": "murmur3",
    }


def flagstream_app(flags: int, data_dir: Path) -> web.Application:
    """The production application over the production views; only the definitions are given."""
    catalog = FakeCatalog("company")
    for number in range(1, flags + 1):
        catalog.set_flag(flag_row(number))
    store = ViewStore(data_dir / "views")
    store.write(dict([*map(stored_person, USERS.values()), *map(stored_group, GROUP_KEYS)]), {})
    state = StoredState(store, cache_entries=100_000, active_groups_ttl_days=30)
    services = World(catalog=catalog, view=state, settings=Settings(**ANY_RATE)).services()
    return create_app(replace(services, clock_ms=lambda: time.time_ns() // 1_000_000))


def stored_group(key: str) -> tuple[bytes, bytes]:
    update = GroupUpdate(time_ms=1, set={"plan": "pro", "name": f"Company {key}", "seats": 12})
    place = table_key(Table.GROUPS, record_key(PROJECT.id, "company", key))
    return place, fold_group(None, update, 1).to_bytes()


def stored_person(distinct_id: str) -> tuple[bytes, bytes]:
    update = PersonUpdate(time_ms=1, set={"email": "ada@example.com", "plan": "free", "visits": 3})
    place = table_key(Table.PERSONS, record_key(PROJECT.id, distinct_id))
    return place, fold_person(None, update, 1).to_bytes()


def bare_app(answer: bytes) -> web.Application:
    """Reads and parses, and answers a constant."""

    async def handle(request: web.Request) -> web.Response:
        raw = await request.read()
        if raw[:2] == b"\x1f\x8b":
            raw = zlib.decompress(raw, 31)
        orjson.loads(raw)
        return web.Response(body=answer, content_type="application/json")

    app = web.Application()
    app.router.add_post("/flags/", handle)
    return app


def request_bytes(client: str, group_key: str, flags: int) -> bytes:
    """A request as posthog-node or posthog-js sends it."""
    person = {"plan": "pro"} if flags > 1 else {}
    body = {
        "token": PROJECT.token,
        "distinct_id": USERS[group_key],
        "groups": {"company": group_key},
        "person_properties": person,
        "group_properties": {"company": {"$group_key": group_key}},
        "geoip_disable": True,
    }
    headers = ["POST /flags/?v=2 HTTP/1.1", "host: 127.0.0.1", "accept: */*"]
    if client == "node":
        raw = orjson.dumps({**body, "evaluation_runtime": "server"})
        headers += ["user-agent: posthog-node/5.70.0", "content-type: application/json"]
    else:
        names = ("referrer", "referring_domain", "current_url", "host", "pathname", "utm_source")
        body["person_properties"] = {f"$initial_{name}": "$direct" for name in names} | person
        body["group_properties"] = {"company": {"plan": "pro"}}
        raw = gzip.compress(orjson.dumps({**body, "$device_id": body["distinct_id"]}))
        headers += ["user-agent: Mozilla/5.0", "content-type: text/plain"]
        headers += ["origin: http://localhost:3000", "referer: http://localhost:3000/"]
    headers += [f"content-length: {len(raw)}", "", ""]
    return "\r\n".join(headers).encode() + raw


def answer_of(target: Target, flags: int) -> bytes:
    raw = request_bytes("node", GROUP_KEYS[0], flags).partition(b"\r\n\r\n")[2]
    with urllib.request.urlopen(f"http://127.0.0.1:{target.port}/flags/?v=2", raw) as response:
        answer: bytes = response.read()
    found = json.loads(answer)["flags"]
    assert flags == len(found)
    if flags > 1:
        for kind in range(4):
            enabled = [found[f"flag-{n}"]["enabled"] for n in range(1, flags + 1) if n % 4 == kind]
            assert 0 < sum(enabled) < len(enabled), f"kind {kind}"
    return answer


def compare(flags: int, connections: int, clients: Iterable[str], side: str, options: Any) -> None:
    with server("benchmarks.flags_http", side, str(flags)) as ours:
        answer = answer_of(ours, flags)
        with server("benchmarks.flags_http", "bare", stdin=answer) as bare:
            for client in clients:
                requests = [request_bytes(client, key, flags) for key in GROUP_KEYS]
                rounds = [
                    [
                        each.load(requests, connections=connections, seconds=options.seconds)
                        for each in (ours, bare)
                    ]
                    for _ in range(options.rounds + 1)
                ][1:]  # the first warms both up
                result = {
                    "flags": flags,
                    "kept": side == KEEPING,
                    "client": client,
                    "connections": connections,
                    "answer_bytes": len(answer),
                    **result_of([pair[0] for pair in rounds], [pair[1] for pair in rounds]),
                }
                print(json.dumps(result), flush=True)


def result_of(ours: list[Load], bare: list[Load]) -> dict[str, float]:
    best = [max(each.per_cpu_s for each in side) for side in (ours, bare)]
    return {
        "flagstream_cpu_us": round(1e6 / best[0], 1),
        "bare_cpu_us": round(1e6 / best[1], 1),
        "ratio": round(best[0] / best[1], 3),
        "flagstream_p99_ms": round(min(each.p99_ms for each in ours), 2),
        "bare_p99_ms": round(min(each.p99_ms for each in bare), 2),
    }


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] in (KEEPING, FORGETTING):
        if sys.argv[1] == FORGETTING:
            ready_answers.MAX_BYTES = 0
            flag_routes.SMALL_BYTES = 0
        with tempfile.TemporaryDirectory() as data_dir:
            app = flagstream_app(int(sys.argv[2]), Path(data_dir))
            spare_the_collector()
            uvloop.run(serve(app))
    elif len(sys.argv) > 1 and sys.argv[1] == "bare":
        uvloop.run(serve(bare_app(sys.stdin.buffer.read())))
    else:
        parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
        parser.add_argument("--rounds", type=int, default=8)
        parser.add_argument("--seconds", type=float, default=1)
        options = parser.parse_args()
        for case in CASES:
            compare(*case, options)


if __name__ == "__main__":
    main()
