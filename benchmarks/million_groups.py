"""
A million groups: how much memory they take, and how soon a restarted process answers.

Every phase runs in a process of its own on one data directory: *fill* writes the changelog, *views*
reads it into empty views, *rebuild* starts the whole server (whose tables are still empty),
*restart* starts it once more. *empty* starts it on another, empty directory, for comparison.

    python -m benchmarks.million_groups [--groups 1000000]
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from flagstream.settings import Settings
from flagstream.state.groups import GroupUpdate
from flagstream.state.merge import REDUCERS
from flagstream.topics import Table, partition_of, record_key, version_of
from flagstream.transport.log import NewRecord
from flagstream.transport.opening import opened
from flagstream.transport.options import LogOptions
from flagstream.transport.registry import close_log, open_log
from flagstream.views import ReadSide
from flagstream.worker import running

BATCH = 2_000
TIMEOUT_S = 600


def states(count: int, partitions: int, epoch: int = 1) -> Iterator[NewRecord]:
    """Yield the changelog of groups with five properties each, all of one early version."""
    reducer = REDUCERS[Table.GROUPS]
    for number in range(count):
        key = record_key(1, "organization", f"org:{number}")
        properties = {
            "name": f"Organization {number}",
            "plan": "gold" if number % 3 else "free",
            "seats": number % 500,
            "country": "NO",
            "is_trial": number % 7 == 0,
        }
        update = GroupUpdate(time_ms=1_700_000_000_000, uuid=f"{number:032x}", set=properties)
        state = reducer.fold(None, update.to_bytes(), version_of(epoch, 0))
        place = partition_of(key, partitions)
        yield NewRecord(Table.GROUPS.changelog, place, key, state, 1_700_000_000_000)


async def fill(settings: Settings, count: int) -> dict[str, Any]:
    """Write the changelog."""
    async with opened(settings):
        pass
    log = open_log(LogOptions(directory=settings.data_dir / "log", fsync="never"))
    batch = []
    for record in states(count, settings.partitions):
        batch.append(record)
        if len(batch) == BATCH:
            await log.append(batch)
            batch = []
    await log.append(batch)
    await close_log(log)
    return {}


async def views(settings: Settings, count: int) -> dict[str, Any]:
    """Read everything into empty views, then read some groups."""
    async with opened(settings) as log:
        started = time.perf_counter()
        reads = await ReadSide.open(settings, log.reader)
        await reads.start()
        await reads.ready()
        took_s = time.perf_counter() - started
        before_mb = _rss_mb()
        get_us = _fill_cache(reads, count, settings.view_cache_entries)
        cache_mb = _rss_mb() - before_mb
        await reads.stop()
    return {
        "catch_up_s": took_s,
        "catch_up_per_s": count / took_s,
        "uncached_get_us": get_us,
        "full_cache_mb": cache_mb,
    }


def _fill_cache(reads: ReadSide, count: int, entries: int) -> float:
    """Read as many groups as the cache of decoded ones holds; returns the time of one read."""
    started = time.perf_counter()
    for number in range(entries):
        group_key = f"org:{number * 7919 % count}"
        assert reads.state.group_properties(1, "organization", group_key)
    return (time.perf_counter() - started) / entries * 1e6


async def serve(settings: Settings, _count: int) -> dict[str, Any]:
    """Start the whole server; ready is when it lets requests in."""
    started = time.perf_counter()
    async with running(settings):
        return {"ready_s": time.perf_counter() - started, "rss_mb": _rss_mb()}


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


PHASES = {"fill": fill, "views": views, "rebuild": serve, "restart": serve, "empty": serve}


def run_phase(phase: str, directory: Path, count: int) -> dict[str, Any]:
    """Run one phase in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.million_groups", "--groups", str(count)]
    command += ["--phase", phase, "--data", str(directory)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, timeout=TIMEOUT_S, check=True)  # noqa: S603
    figures: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=1_000_000)
    parser.add_argument("--phase", choices=PHASES)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    if options.phase is not None:
        settings = Settings(data_dir=options.data, port=0)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            figures = runner.run(PHASES[options.phase](settings, options.groups))
        print(json.dumps(figures))
        return
    directory = Path(tempfile.mkdtemp())
    try:
        figures = {
            phase: run_phase(
                phase, directory / ("none" if phase == "empty" else "data"), options.groups
            )
            for phase in PHASES
        }
    finally:
        shutil.rmtree(directory)
    above_empty_mb = figures["restart"]["rss_mb"] - figures["empty"]["rss_mb"]
    figures["above_empty_mb"] = above_empty_mb + figures["views"]["full_cache_mb"]
    print(f"catch-up: {figures['views']['catch_up_per_s']:,.0f} groups/s")
    print(f"restart to ready: {figures['restart']['ready_s']:.1f} s (target 5)")
    print(f"memory above empty, caches full: {figures['above_empty_mb']:.0f} MB (target 400)")
    print(json.dumps({"groups": options.groups, **figures}))


if __name__ == "__main__":
    main()
