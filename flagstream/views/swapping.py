"""
Large snapshots made and freed in a thread, so that requests do not wait.

A thread lets requests go in between, but some things stop everybody for as long as they take: the
garbage collector, which walks through all that is being made, and the end of a large structure,
which is freed in one go.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

SPARED_THRESHOLD = 10_000
"""New objects between collections of a process that spares the collector what stays for good."""

_TURN_S = 0.0001
# From a snapshot to its sets of flags, to their mappings, to the entries of these.
_LEVELS = 4
_HELD_HERE_ALONE = 2  # by a variable, and by the call that counts

_T = TypeVar("_T")


def make_apart(make: Callable[[], _T]) -> _T:
    """Make something large and without cycles that stays for long."""
    with _short_turns(), _uncollected():
        return make()


@contextmanager
def _short_turns() -> Iterator[None]:
    """Let threads take turns more often; always, it would cost more than it brings."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(min(usual_s, _TURN_S))
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)


@contextmanager
def _uncollected() -> Iterator[None]:
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


def let_go(pieces: list[Any]) -> None:
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
        piece, pieces = None, below
    while pieces:
        pieces.pop()
