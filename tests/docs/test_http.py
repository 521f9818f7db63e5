"""The reference of HTTP names every address that is served, and no other."""

import re
from collections import defaultdict
from pathlib import Path

from aiohttp import hdrs

from flagstream.openapi import operation_of
from flagstream.routes.table import SECTIONS
from tests.documented import OTHER_ROOT, ROOT, served

PAGE = (Path(__file__).parents[2] / "docs/reference/http.md").read_text()
ROW = re.compile(r"^\| ([A-Z, ]+) \| `(/[^`]*)` \|", re.MULTILINE)
SCOPED = re.compile(r"^\| ([A-Z, ]+) \| `(/[^`]*)` \| ([^|]*)\|", re.MULTILINE)
TABLE = re.compile(r"^\| methods \| path \| scope \|.*\n(?:\|.*\n)+", re.MULTILINE)


def test_every_address_has_a_row():
    """
    Each path is listed once, with just the methods that it is served for.
    """
    rows = ROW.findall(PAGE)

    assert len(rows) == len({path for _, path in rows})
    assert served() == {path: set(methods.split(", ")) for methods, path in rows}


def test_scopes():
    """
    What every address asks of secret keys is in its row.
    """
    needed = {
        (route.method, route.path.rstrip("/")): operation_of(route.handler).needed
        for section in SECTIONS
        for route in section.routes
        if route.method != hdrs.METH_OPTIONS
    }
    expected = defaultdict(list)
    for methods, path in ROW.findall(PAGE):
        for method in methods.split(", "):
            scope = needed[method, path.rstrip("/")]
            if scope is not None and scope not in expected[path]:
                expected[path].append(scope)

    said = {
        path: scopes.strip().split(", ")
        for table in TABLE.findall(PAGE)
        for _, path, scopes in SCOPED.findall(table)
        if scopes.strip()
    }
    assert {path: scopes for path, scopes in expected.items() if scopes} == said


def test_the_other_root():
    """
    Environments are another spelling of projects for all paths.
    """
    projects = {path: methods for path, methods in served().items() if path.startswith(ROOT)}
    others = served(other_root=True)

    assert projects == {path.replace(OTHER_ROOT, ROOT): others[path] for path in others}
