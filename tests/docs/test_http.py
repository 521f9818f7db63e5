"""The reference of HTTP names every address that is served, and no other."""

import re
from pathlib import Path

from tests.documented import OTHER_ROOT, ROOT, served

PAGE = (Path(__file__).parents[2] / "docs/reference/http.md").read_text()
ROW = re.compile(r"^\| ([A-Z, ]+) \| `(/[^`]*)` \|", re.MULTILINE)


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
    projects = {path: methods for path, methods in served().items() if path.startswith(ROOT)}
    others = served(other_root=True)

    assert projects == {path.replace(OTHER_ROOT, ROOT): others[path] for path in others}
