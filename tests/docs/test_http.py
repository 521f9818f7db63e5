"""The reference of HTTP names every address that is served, and no other."""

import re
from collections import defaultdict
from pathlib import Path

from aiohttp import hdrs, web

from flagstream.routes.table import add_routes

PAGE = (Path(__file__).parents[2] / "docs/reference/http.md").read_text()
ROW = re.compile(r"^\| ([A-Z, ]+) \| `(/[^`]*)` \|", re.MULTILINE)
# Served everywhere, or another spelling, as the page says.
LEFT_OUT = {hdrs.METH_HEAD, hdrs.METH_OPTIONS, hdrs.METH_ANY}
OTHER_ROOT = "/api/environments"


def served():
    """The methods by path, as an application serves them."""
    app = web.Application()
    add_routes(app, lambda: True)
    found = defaultdict(set)
    for route in app.router.routes():
        path = route.resource.canonical
        if route.method not in LEFT_OUT and not path.startswith(OTHER_ROOT):
            found[path.rstrip("/") or "/"].add(route.method)
    return dict(found)


def test_every_address_has_a_row():
    """
    Each path is listed once, with just the methods that it is served for.
    """
    rows = ROW.findall(PAGE)

    assert len(rows) == len({path for _, path in rows})
    assert served() == {path: set(methods.split(", ")) for methods, path in rows}


def test_the_other_root():
    """
    Environments are another spelling of projects for all paths.
    """
    app = web.Application()
    add_routes(app, lambda: True)
    paths = {route.resource.canonical for route in app.router.routes()}
    roots = ("/api/projects", OTHER_ROOT)

    projects, environments = (
        {path.removeprefix(root) for path in paths if path.startswith(root)} for root in roots
    )
    assert projects == environments
