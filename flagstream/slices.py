"""
Long work on the event loop, in slices that let others in between.

In slices, as threads would not do: they get the interpreter back as soon as they ask, and hand it
over late.
"""

import asyncio
from time import perf_counter
from typing import TypeVar

from flagstream.flags import Steps

_SLICE_S = 0.00015
_T = TypeVar("_T")


async def in_slices(steps: Steps[_T]) -> _T:
    """Do one step after the other, and let others in after fractions of a millisecond."""
    slice_end = perf_counter() + _SLICE_S
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result
        if perf_counter() > slice_end:
            await asyncio.sleep(0)
            slice_end = perf_counter() + _SLICE_S
