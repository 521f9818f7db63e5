"""Hash keys on their whole way: log, agent, table, changelog, views."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from flagstream.ingest import Continuity
from flagstream.ports import Append
from flagstream.settings import Settings
from flagstream.state.persons import PersonUpdate
from flagstream.topics import Table, Topic, record_key
from flagstream.transport.opening import opened
from flagstream.verify import verify
from flagstream.views import ReadSide

from .app import App

TIMEOUT_S = 30.0
FLAGS = ["beta", "checkout"]


@pytest.fixture
def settings(tmp_path):
    return Settings(partitions=2, data_dir=tmp_path)


@asynccontextmanager
async def serving(settings):
    """Run what a server runs for persons; its read side, its log, and what is under test."""
    async with opened(settings) as log:
        reads = await ReadSide.open(settings, log.reader)
        try:
            await reads.start()
            async with App(settings, log, Table.PERSONS, reads.progress):
                await reads.ready()
                reads.progress.open()
                continuity = Continuity(
                    reads.state,
                    log.sink,
                    reads.progress,
                    reads.progress,
                    clock_ms=lambda: 1_000,
                    wait_timeout_s=TIMEOUT_S,
                )
                yield reads, log, continuity
        finally:
            await reads.stop()


async def update(reads, log, distinct_id, **members):
    """Append an update of a person and wait until it is visible."""
    value = PersonUpdate(time_ms=1, **members).to_bytes()
    key = record_key(1, distinct_id)
    positions = await log.sink.append([Append(Topic.PERSON_UPDATES, key, value)])
    assert await reads.progress.wait_visible(positions, TIMEOUT_S)


class TestContinuity:
    async def test_survives_restart_and_merge(self, settings):
        """
        The first hash key is read as soon as it is remembered, by every id of the person, after a
        restart too; tables, changelogs and views are the fold of the log.
        """
        async with serving(settings) as (reads, log, continuity):
            await update(reads, log, "user-1", set={"plan": "pro"}, is_identified=True)
            await asyncio.gather(
                *(continuity.remember(1, "user-1", anon, FLAGS) for anon in ("anon-1", "anon-2"))
            )
            assert dict.fromkeys(FLAGS, "anon-1") == reads.state.person(1, "user-1").hash_keys
            await update(reads, log, "anon-3", into="user-1", hash_keys={"beta": "x", "new": "y"})
            await update(reads, log, "user-1", merged="anon-3")
            before = reads.state.person(1, "anon-3")
        async with serving(settings) as (reads, _, continuity):
            after = reads.state.person(1, "user-1")
            assert not continuity.lacks(1, "anon-3", "anon-4", [*FLAGS, "new"])
        report = await asyncio.to_thread(verify, settings)

        assert before == after
        assert {"beta": "anon-1", "checkout": "anon-1", "new": "y"} == after.hash_keys
        assert ("user-1", "anon-3") == after.distinct_ids
        assert [] == report.differences
