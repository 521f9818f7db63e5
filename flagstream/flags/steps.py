"""
Long work in steps, so that who does it on an event loop can let others in between.

A thread would not do: it holds the interpreter for as long as one loop takes, and gets it back as
soon as it asks. What takes long for thousands of flags is written as a generator that stops after
each of them. It takes no time into account; who runs it does.
"""

from collections.abc import Callable, Generator
from functools import update_wrapper
from typing import Generic, ParamSpec, TypeAlias, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

Steps: TypeAlias = Generator[None, None, _T]
"""Work that returns something at the end; each step takes well under a millisecond."""


def finished(steps: Steps[_T]) -> _T:
    """Do all steps in one go."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result


class stepwise(Generic[_P, _T]):  # noqa: N801 -- a decorator
    """
    Make a function of one that is written in steps.

    Called, it does all of them. ``function.steps(…)`` is them, for ``yield from`` and for who
    pauses in between.
    """

    def __init__(self, steps: Callable[_P, Steps[_T]]) -> None:
        self.steps = steps
        update_wrapper(self, steps)

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do all steps in one go."""
        return finished(self.steps(*args, **kwargs))
