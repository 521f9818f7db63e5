"""
Five thousand flags: how fast they compile, what they take, and whether requests feel a swap.

Rate, memory and stall are measured in processes of their own; the garbage collector is as in
production. Stall is how long the event loop itself is held up while definitions are swapped and
nothing else runs: what a request waits for at the most, but for what the machine adds.
The server is the production application over the production catalog: definitions are written to
the views' store, marked and refreshed, as the follower does. One flag, or all of them,
change again and again while four connections ask for one flag; idle phases are interleaved. Of
every figure the best round counts: what noise adds is in some rounds, what a swap costs in all.

    python -m benchmarks.definitions [--flags 5000] [--rounds 3] [--only PART…]

Parts are rate, memory, stall, http and swap.
"""

import argparse
import asyncio
import gc
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import uvloop
from aiohttp import web

from benchmarks.load import ANY_RATE, HERE, Load, Target, serve, server
from flagstream.api import create_app
from flagstream.flags import (
    CompiledFlags,
    Definitions,
    compile_project,
    local_definitions,
    parse_project,
)
from flagstream.flags.model import FlagDefinition
from flagstream.management.rows import new_row
from flagstream.serving import spare_the_collector
from flagstream.settings import Settings
from flagstream.state.definitions import DefinitionState, Kind
from flagstream.state.group_types import GroupType, GroupTypesState
from flagstream.state.groups import GroupUpdate, fold_group
from flagstream.topics import Table, record_key
from flagstream.views import StoredState, ViewStore
from flagstream.views.catalog import StoredCatalog
from flagstream.views.layout import table_key
from tests.fakes.views import PROJECT
from tests.fakes.world import World

NOW_MS = 1_764_000_000_000
COHORTS = 20
GROUP_TYPES = {"organization": 0}
KINDS = ("group property", "variants with payloads", "two conditions", "cohort", "dependency")
PARTS = ("rate", "memory", "stall", "http", "swap")
ONE_FLAG = "flag-0"
SLICE = 50  # definitions a write: about what the follower merges in its millisecond
PHASES = {"none": 2.0, "one": 3.0, "all": 4.0}
ROUND_S = 2.0
TURN_S = 0.0005  # of a thread, as in production
TICK_S = 0.0005
PAUSE_S = 0.002  # a load that fills a core by itself would be what is waited for


def flag_body(number: int, change: int) -> dict[str, Any]:
    """What is typical: a fifth each of :data:`KINDS`; *change* makes the same flag another."""
    percentage = 10 + (number + change) % 80
    plan = {"key": "plan", "value": ["pro", "enterprise"], "operator": "exact", "type": "group"}
    email = {"key": "email", "value": "@example.com", "operator": "icontains", "type": "person"}
    kind = KINDS[number % len(KINDS)]
    filters: dict[str, Any] = {"groups": [{"properties": [], "rollout_percentage": percentage}]}
    if kind == "group property":
        filters["groups"][0]["properties"] = [{**plan, "group_type_index": 0}]
        filters["aggregation_group_type_index"] = 0
    elif kind == "variants with payloads":
        shares = {"control": 34, "blue": 33, "green": 33}
        variants = [{"key": key, "rollout_percentage": shares[key]} for key in shares]
        filters["multivariate"] = {"variants": variants}
        filters["payloads"] = {key: {"color": key, "size": number} for key in shares}
    elif kind == "two conditions":
        seats = {"key": "seats", "value": 10, "operator": "gte", "type": "person"}
        filters["groups"] = [
            {"properties": [email], "rollout_percentage": 100},
            {"properties": [seats], "rollout_percentage": percentage},
        ]
    elif kind == "cohort":
        test = {"key": "id", "type": "cohort", "value": 1 + number % COHORTS, "operator": "in"}
        filters["groups"][0]["properties"] = [test]
    else:
        # On the flag with two conditions before it.
        test = {"key": str(number - 1), "type": "flag", "operator": "flag_evaluates_to"}
        filters["groups"][0]["properties"] = [{**test, "value": True}]
    return {"key": f"flag-{number}", "name": f"What flag {number} is for", "filters": filters}


def flag_row(number: int, change: int = 0) -> dict[str, Any]:
    body = flag_body(number, change)
    row = new_row(body, flag_id=number + 1, bucketing="murmur3", now_ms=NOW_MS)
    return {**row, "version": 1 + change}


def cohort_row(number: int) -> dict[str, Any]:
    plan = {"key": "plan", "value": ["pro", f"plan-{number}"], "operator": "exact"}
    return {
        "id": number,
        "name": f"Cohort {number}",
        "filters": {"properties": {"type": "AND", "values": [{**plan, "type": "person"}]}},
        "deleted": False,
    }


def definitions(count: int) -> Definitions:
    return Definitions(
        flags={f"flag-{number}": flag_row(number) for number in range(count)},
        cohorts={number: cohort_row(number) for number in range(1, COHORTS + 1)},
        group_types=GROUP_TYPES,
    )


def rate(count: int, rounds: int) -> dict[str, Any]:
    """Measure steps from rows to what answers; CPU time, with yardsticks on the same rows."""
    given = definitions(count)
    encoded = [orjson.dumps(row) for row in given.flags.values()]
    parsed = parse_project(given)
    project = compile_project(parsed)
    assert not parsed.problems
    assert not project.missing
    assert count == len(project.by_key)
    validate = FlagDefinition.model_validate
    steps: Mapping[str, Callable[[], Any]] = {
        "json.loads": lambda: [json.loads(raw) for raw in encoded],
        "orjson.loads": lambda: [orjson.loads(raw) for raw in encoded],
        "pydantic alone": lambda: [validate(row) for row in given.flags.values()],
        "parse": lambda: parse_project(given),
        "compile": lambda: compile_project(parsed),
        "index": lambda: CompiledFlags.of(project),
        "documents": lambda: local_definitions(project, remembers_groups=True),
    }
    spare_the_collector()
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.process_time()
            made = step()
            best[name] = min(best[name], time.process_time() - start)
            del made
    whole_s = best["parse"] + best["compile"] + best["index"]
    return {
        "row_bytes": round(sum(map(len, encoded)) / count),
        "cpu_us_per_flag": {name: round(s / count * 1e6, 2) for name, s in best.items()},
        "flags_per_s": round(count / whole_s),
        "pydantic_share": round(best["pydantic alone"] / whole_s, 2),
    }


def stored(row: Mapping[str, Any], kind: Kind, name: str, version: int) -> tuple[bytes, bytes]:
    state = DefinitionState(version=version, updated_at_ms=NOW_MS, body=dict(row))
    place = table_key(Table.DEFINITIONS, record_key(PROJECT.id, kind, name))
    return place, state.to_bytes()


def stored_flags(count: int, change: int) -> Iterator[tuple[bytes, bytes]]:
    for number in range(count):
        yield stored(flag_row(number, change), Kind.FLAG, f"flag-{number}", change + 1)


def filled_store(data_dir: Path, count: int) -> ViewStore:
    store = ViewStore(data_dir / "views")
    types = [
        GroupType(group_type=name, index=index, created_at_ms=1, version=1)
        for name, index in GROUP_TYPES.items()
    ]
    group = fold_group(None, GroupUpdate(time_ms=1, set={"plan": "pro"}), 1)
    changes = {
        table_key(Table.GROUP_TYPES, record_key(PROJECT.id)): GroupTypesState(
            version=1, types=types
        ).to_bytes(),
        table_key(Table.GROUPS, record_key(PROJECT.id, "organization", "acme")): group.to_bytes(),
        **dict(stored_flags(count, 0)),
    }
    for number in range(1, COHORTS + 1):
        changes.update([stored(cohort_row(number), Kind.COHORT, str(number), 1)])
    store.write(changes, {})
    return store


def memory(count: int) -> dict[str, Any]:
    """Measure how the process grows as the catalog compiles all, rows and documents included."""
    with tempfile.TemporaryDirectory() as folder:
        store = filled_store(Path(folder), count)
        warm_up(Path(folder))
        gc.collect()
        before_mb = rss_mb()
        catalog = StoredCatalog(store)
        asyncio.run(refreshed(catalog))
        peak_mb, after_mb = peak_rss_mb(), rss_mb()
        gc.collect()
        kept = catalog.project(PROJECT.id)
        documents_mb = sum(map(len, kept.local_definitions.documents.values())) / 1e6
        for place, raw in stored_flags(count, 1):
            store.write({place: raw}, {})
        asyncio.run(refreshed(catalog))
        store.close()
    return {
        "rss_mb": round(after_mb - before_mb, 1),
        "rss_peak_mb": round(peak_mb - before_mb, 1),
        "documents_mb": round(documents_mb, 1),
        "rss_after_swap_of_all_mb": round(rss_mb() - before_mb, 1),
    }


def warm_up(folder: Path) -> None:
    """Compile a few flags, so that what is loaded at first use does not count."""
    store = filled_store(folder / "small", 10)
    asyncio.run(refreshed(StoredCatalog(store)))
    store.close()


def traced(count: int) -> dict[str, Any]:
    """Measure what Python's own allocator hands out for the compiled flags, and for all."""
    given = definitions(count)
    compile_project(parse_project(definitions(10)))
    gc.collect()
    tracemalloc.start()
    sizes = {}
    parsed = parse_project(given)
    sizes["definitions_mb"] = traced_mb()
    project = compile_project(parsed)
    flags = CompiledFlags.of(project)
    sizes["compiled_mb"] = traced_mb()
    local = local_definitions(project, remembers_groups=True)
    sizes["with_documents_mb"] = traced_mb()
    assert flags.keys
    assert local.documents
    return sizes


def traced_mb() -> float:
    gc.collect()
    return round(tracemalloc.get_traced_memory()[0] / 1e6, 1)


def rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def peak_rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024 / 1e6


async def refreshed(catalog: StoredCatalog) -> None:
    catalog.mark([PROJECT.id])
    await catalog.refresh()


async def stall(count: int, rounds: int) -> dict[str, Any]:
    """Measure how late a timer of the event loop is while one flag or all are swapped."""
    with tempfile.TemporaryDirectory() as folder:
        store = filled_store(Path(folder), count)
        catalog = StoredCatalog(store)
        await refreshed(catalog)
        spare_the_collector()
        sys.setswitchinterval(TURN_S)
        longest: dict[str, list[float]] = {"one": [], "all": []}
        for number in range(rounds):
            rows = list(stored_flags(count, 1 + number % 2))
            for kind, changed in (("all", rows), ("one", list(stored_flags(1, 3 + number % 2)))):
                store.write(dict(changed), {})
                longest[kind].append(await _latest_tick_ms(refreshed(catalog)))
        store.close()
    return {
        f"{kind}_{figure}_ms": round(of(lateness), 1)
        for kind, lateness in longest.items()
        for figure, of in (("median", statistics.median), ("longest", max))
    }


async def _latest_tick_ms(swapping: Coroutine[Any, Any, None]) -> float:
    task, latest_s = asyncio.create_task(swapping), 0.0
    while not task.done():
        due = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        latest_s = max(latest_s, time.perf_counter() - due)
    await task
    return latest_s * 1_000


class Swaps:
    """Changes definitions as it is told, and notes how long refreshes and collections took."""

    def __init__(self, store: ViewStore, catalog: StoredCatalog, count: int) -> None:
        self._store = store
        self._catalog = catalog
        both = [list(stored_flags(count, change)) for change in (1, 2)]
        self._rows = {"all": both, "one": [rows[:1] for rows in both]}
        self._kind = "none"
        self._swapping = asyncio.Lock()
        self._refresh_ms: list[float] = []
        self._gc_ms: list[float] = []
        self._gc_began = 0.0
        gc.callbacks.append(self._note_collection)

    def _note_collection(self, phase: str, _: Mapping[str, int]) -> None:
        if phase == "start":
            self._gc_began = time.perf_counter()
        else:
            self._gc_ms.append((time.perf_counter() - self._gc_began) * 1_000)

    async def tell(self, request: web.Request) -> web.Response:
        """Set what is changed from now on; answers what happened since it was set last."""
        self._kind = request.match_info["kind"]
        async with self._swapping:
            since = {"refresh_ms": self._refresh_ms, "gc_ms": self._gc_ms}
            self._refresh_ms, self._gc_ms = [], []
        return web.json_response(since)

    async def run(self) -> None:
        """Change for ever."""
        for number in itertools.count():
            async with self._swapping:
                if self._kind in self._rows:
                    await self._swap(self._rows[self._kind][number % 2])
            await asyncio.sleep(0.05)

    async def _swap(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        for first in range(0, len(rows), SLICE):
            self._store.write(dict(rows[first : first + SLICE]), {})
            await asyncio.sleep(0)
        start = time.perf_counter()
        await refreshed(self._catalog)
        self._refresh_ms.append((time.perf_counter() - start) * 1_000)


def time_ms() -> int:
    return time.time_ns() // 1_000_000


async def run_server(count: int) -> None:
    """Serve the production application, with a route that tells what to swap."""
    with tempfile.TemporaryDirectory() as folder:
        store = filled_store(Path(folder), count)
        catalog = StoredCatalog(store)
        await refreshed(catalog)
        state = StoredState(store, cache_entries=100_000, active_groups_ttl_days=30)
        services = World(view=state, settings=Settings(**ANY_RATE)).services()
        app = create_app(replace(services, catalog=catalog, clock_ms=time_ms))
        swaps = Swaps(store, catalog, count)
        app.router.add_post("/swap/{kind}", swaps.tell)
        swapping = asyncio.create_task(swaps.run())
        spare_the_collector()
        sys.setswitchinterval(TURN_S)
        await asyncio.gather(serve(app), swapping)


def http(target: Target, rounds: int) -> dict[str, Any]:
    """Measure the answer for local evaluation, over one connection."""
    headers = {"Authorization": f"Bearer {PROJECT.secret_key}", "User-Agent": "posthog-python/7"}
    url = f"http://127.0.0.1:{target.port}/flags/definitions"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
        etag, body = response.headers["ETag"], response.read()
    known = {**headers, "If-None-Match": etag}
    loads: dict[int, list[Load]] = {200: [], 304: []}
    for _ in range(rounds + 1):
        for status, sent in ((200, headers), (304, known)):
            request = [get_bytes("/flags/definitions", sent)]
            load = target.load(request, connections=1, seconds=ROUND_S, status=status)
            loads[status].append(load)
    return {
        "body_bytes": len(body),
        **{
            str(status): {
                "p50_ms": round(min(each.p50_ms for each in of_status[1:]), 2),
                "p99_ms": round(min(each.p99_ms for each in of_status[1:]), 2),
                "p99_worst_round_ms": round(max(each.p99_ms for each in of_status[1:]), 2),
            }
            for status, of_status in loads.items()
        },
    }


def get_bytes(path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def swap(target: Target, rounds: int) -> dict[str, Any]:
    """Measure requests for one flag while definitions change."""
    body = {
        "token": PROJECT.token,
        "distinct_id": "user",
        "groups": {"organization": "acme"},
        "flag_keys": [ONE_FLAG],
    }
    raw = orjson.dumps(body)
    head = f"POST /flags/?v=2 HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(raw)}\r\n\r\n"
    loads: dict[str, list[Load]] = {kind: [] for kind in PHASES}
    told: dict[str, list[dict[str, list[float]]]] = {kind: [] for kind in PHASES}
    for _ in range(rounds + 1):
        for kind, seconds in PHASES.items():
            tell(target, kind)
            load = target.load(
                [head.encode() + raw], connections=4, seconds=seconds, pause_s=PAUSE_S
            )
            loads[kind].append(load)
            told[kind].append(tell(target, "none"))
    return {kind: swap_figures(loads[kind][1:], told[kind][1:]) for kind in PHASES}


def swap_figures(
    loads: Sequence[Load], told: Sequence[Mapping[str, Sequence[float]]]
) -> dict[str, Any]:
    refreshes = [ms for each in told for ms in each["refresh_ms"]]
    return {
        "longest_ms": round(min(each.max_ms for each in loads), 1),
        "longest_by_round_ms": [round(each.max_ms, 1) for each in loads],
        "longest_gc_by_round_ms": [round(max(each["gc_ms"], default=0), 1) for each in told],
        "p99_ms": round(min(each.p99_ms for each in loads), 1),
        "p50_ms": round(min(each.p50_ms for each in loads), 1),
        "swaps": len(refreshes),
        "refresh_ms": round(statistics.median(refreshes)) if refreshes else None,
    }


def tell(target: Target, kind: str) -> dict[str, list[float]]:
    request = urllib.request.Request(f"http://127.0.0.1:{target.port}/swap/{kind}", method="POST")
    with urllib.request.urlopen(request) as response:  # noqa: S310 -- our own server
        since: dict[str, list[float]] = json.loads(response.read())
    return since


def apart(phase: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run a phase in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.definitions", "--phase", phase]
    command += ["--flags", str(options.flags), "--rounds", str(options.rounds)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=HERE)  # noqa: S603
    figures: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return figures


def run_phase(options: argparse.Namespace) -> None:
    if options.phase == "serve":
        uvloop.run(run_server(options.flags))
        return
    phases: Mapping[str, Callable[[], Any]] = {
        "rate": lambda: rate(options.flags, 3 * options.rounds),
        "memory": lambda: memory(options.flags),
        "traced": lambda: traced(options.flags),
        "stall": lambda: uvloop.run(stall(options.flags, 4 * options.rounds)),
    }
    print(json.dumps(phases[options.phase]()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--flags", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--phase", choices=("rate", "memory", "traced", "stall", "serve"))
    options = parser.parse_args()
    if options.phase is not None:
        run_phase(options)
        return
    results: dict[str, Any] = {"benchmark": "definitions", "flags": options.flags}
    if "rate" in options.only:
        results["rate"] = shown("rate", apart("rate", options))
    if "memory" in options.only:
        figures = {**apart("memory", options), "traced": apart("traced", options)}
        results["memory"] = shown("memory", figures)
    if "stall" in options.only:
        results["stall"] = shown("stall", apart("stall", options))
    if {"http", "swap"} & set(options.only):
        arguments = ("--phase", "serve", "--flags", str(options.flags))
        with server("benchmarks.definitions", *arguments) as target:
            for name, measure in (("http", http), ("swap", swap)):
                if name in options.only:
                    results[name] = shown(name, measure(target, options.rounds))
    print(json.dumps(results))


def shown(name: str, figures: dict[str, Any]) -> dict[str, Any]:
    print(f"{name}:")
    for each, figure in figures.items():
        print(f"  {each:26} {figure}")
    sys.stdout.flush()
    return figures


if __name__ == "__main__":
    main()
