"""
Large snapshots made and freed on the event loop without making requests wait.

What stops everybody for as long as it takes is kept small: the garbage collector, which walks
through all that is being made, and the end of a large structure, which is freed in one go.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flagstream.flags import Steps

SPARED_THRESHOLD = 10_000
"""New objects between collections of a process that spares the collector what stays for good."""

# From a snapshot to its sets of flags, to their mappings, to the entries of these.
_LEVELS = 4
_HELD_HERE_ALONE = 2  # by a variable, and by the call that counts


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
