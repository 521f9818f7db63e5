"""The order in which things that depend on each other are dealt with."""

from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from typing import TypeVar

from .steps import Steps, stepwise

_K = TypeVar("_K")


@stepwise
def dependencies_first(graph: Mapping[_K, Collection[_K]]) -> Steps[list[_K]]:
    """
    Sort so that everything comes behind what it depends on.

    Args:
        graph: What each depends on.

    Returns:
        Without those that are in a cycle, that depend on something that is not in *graph*, or on
        one of these.

    Source:
        Kahn, Topological sorting of large networks, 1962.
    """
    missing: dict[_K, int] = {}
    dependents: defaultdict[_K, list[_K]] = defaultdict(list)
    for each, needed in graph.items():
        missing[each] = len(set(needed))
        for other in set(needed):
            dependents[other].append(each)
        yield
    ready = deque(each for each, count in missing.items() if count == 0)
    ordered: list[_K] = []
    while ready:
        ordered.append(ready.popleft())
        for dependent in dependents[ordered[-1]]:
            missing[dependent] -= 1
            if missing[dependent] == 0:
                ready.append(dependent)
        yield
    return ordered
