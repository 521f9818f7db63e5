"""
Large snapshots made and freed on the event loop without making requests wait.

In slices, as threads would not do: they get the interpreter back as soon as they ask, and hand it
over late. What stops everybody for as long as it takes is kept small: the garbage collector, which
walks through all that is being made, and the end of a large structure, which is freed in one go.
"""

import asyncio
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, TypeVar

from flagstream.flags import Steps

SPARED_THRESHOLD = 10_000
"""New objects between collections of a process that spares the collector what stays for good."""

_SLICE_S = 0.00015
# From a snapshot to its sets of flags, to their mappings, to the entries of these.
_LEVELS = 4
_HELD_HERE_ALONE = 2  # by a variable, and by the call that counts

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


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep what is made from the collector, where the process spares it the rest as well."""
    # Not by what is frozen: to count that is to walk through all of it.
    if gc.get_threshold()[0] != SPARED_THRESHOLD:
        yield
        return
    gc.collect(1)  # what is garbage already must not be kept
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def let_go(pieces: list[Any]) -> Steps[None]:
    """
    Free large structures bit by bit; nobody else may hold them.

    What nobody holds any more is taken apart before it is freed, some levels deep, so that no
    single step frees more than a list of references or a small object.
    """
    for _ in range(_LEVELS):
        below: list[Any] = []
        while pieces:
            piece = pieces.pop()
            if sys.getrefcount(piece) == _HELD_HERE_ALONE:
                below += gc.get_referents(piece)
            yield
        piece, pieces = None, below
    while pieces:
        pieces.pop()
        yield
