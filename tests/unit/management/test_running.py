"""Schedules carried out for as long as a process runs."""

import asyncio

import pytest

from flagstream.errors import LogUnavailableError, UnavailableError
from flagstream.management import Due, carry_out


class FakeSchedules:
    """Two, the first of which is in trouble; at the first look both are."""

    def __init__(self, trouble):
        self.trouble = trouble
        self.advanced = []
        self.looks = 0
        self.twice = asyncio.Event()

    def due(self):
        self.looks += 1
        if self.looks == 1:
            raise ZeroDivisionError
        return [Due(1, "odd"), Due(1, "other")]

    async def advance(self, due):
        if due.schedule_id == "odd":
            raise self.trouble
        self.advanced.append(due)
        if len(self.advanced) == 2:
            self.twice.set()


@pytest.fixture
async def start():
    """Carry out until the test ends."""
    tasks = []

    def start(schedules, is_ready):
        tasks.append(asyncio.create_task(carry_out(schedules, is_ready, every_s=0.001)))

    yield start

    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class TestCarryOut:
    @pytest.mark.parametrize(
        ("trouble", "is_told"),
        [
            (LogUnavailableError("disk full"), False),
            (UnavailableError("not folded in"), False),
            (ZeroDivisionError(), True),
        ],
    )
    async def test_trouble(self, start, caplog, trouble, is_told):
        """
        Whatever is wrong with one schedule, the others go on, and it is tried again; what should
        not be is logged.
        """
        schedules = FakeSchedules(trouble)

        start(schedules, lambda: True)
        async with asyncio.timeout(5):
            await schedules.twice.wait()

        assert is_told == any("cannot go on" in record.message for record in caplog.records)

    async def test_not_ready(self, start):
        """
        Nothing is done before the views show what there is.
        """
        schedules, looks = FakeSchedules(ZeroDivisionError()), iter([False] * 3)
        asked = asyncio.Event()

        def is_ready():
            if next(looks, None) is None:
                asked.set()
            return False

        start(schedules, is_ready)
        async with asyncio.timeout(5):
            await asked.wait()

        assert [] == schedules.advanced
