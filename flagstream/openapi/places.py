"""Where operations are served, each once."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from aiohttp import web

from .descriptions import Operation, operation_of

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Section(NamedTuple):
    """Operations that belong together."""

    name: str
    text: str
    routes: Sequence[web.RouteDef]


class Place(NamedTuple):
    """
    An operation where it is served.

    Attributes:
        path: Without a slash at its end.
    """

    section: Section
    method: str
    path: str
    said: Operation


def places(sections: Sequence[Section], other_roots: Sequence[str]) -> Iterator[Place]:
    """
    List the operations.

    Args:
        other_roots: Whose paths are other spellings, and left out.

    Raises:
        LookupError: One says nothing of itself.
    """
    known: set[tuple[str, str]] = set()
    for section in sections:
        for route in section.routes:
            path = route.path.rstrip("/") or "/"
            is_other = path.startswith(tuple(other_roots))
            if route.method in _METHODS and not is_other and (route.method, path) not in known:
                known.add((route.method, path))
                yield Place(section, route.method, path, operation_of(route.handler))
