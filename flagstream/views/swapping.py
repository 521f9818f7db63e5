"""
Large snapshots made and freed in a thread, so that requests do not wait.

A thread lets requests go in between, but some things stop everybody for as long as they take: the
garbage collector, which walks through all that is being made, and the end of a large structure,
which is freed in one go.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

SPARED_THRESHOLD = 10_000
"""New objects between collections of a process that spares the collector what stays for good."""

_T = TypeVar("_T")


def make_apart(make: Callable[[], _T]) -> _T:
    """Make something large and without cycles that stays for long."""
    with _uncollected():
        return make()


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
    """Free the pieces of something one by one; nobody else may hold them all together."""
    while pieces:
        pieces.pop()
