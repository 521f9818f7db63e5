"""Long work that lets others in."""

import asyncio
from time import perf_counter

import pytest

from flagstream.flags import Steps
from flagstream.slices import in_slices


class TestSlices:
    async def test_others_are_let_in(self):
        """
        Between steps that take their time, whoever waits gets its turn.
        """
        seen: list[int] = []

        def steps() -> Steps[int]:
            for number in range(3):
                end = perf_counter() + 0.001
                while perf_counter() < end:
                    pass
                seen.append(number)
                yield
            return len(seen)

        async def others():
            while len(seen) < 3:
                turns.append(len(seen))
                await asyncio.sleep(0)

        turns: list[int] = []
        done, _ = await asyncio.gather(in_slices(steps()), others())

        assert 3 == done
        assert {1, 2} <= set(turns)

    async def test_a_failure_passes(self):
        """
        Who waits is told when a step fails.
        """

        def steps() -> Steps[int]:
            yield
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await in_slices(steps())
