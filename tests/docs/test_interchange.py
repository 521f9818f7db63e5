"""The reference of other formats names what the code knows of them."""

import re
from pathlib import Path

import pytest

from flagstream.cli.interchange import READERS, WRITERS
from flagstream.interchange import flagd, goff, posthog
from flagstream.interchange.jsonlogic import JsonLogic
from flagstream.interchange.outcome import Refusals

PAGE = (Path(__file__).parents[2] / "docs/reference/interchange.md").read_text()
_, *SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)
OPERATORS = JsonLogic(Refusals("", ""), key_property="")._readers


def named(title):
    """What stands as code in the tables of a section."""
    (section,) = [each for each in SECTIONS if each.startswith(f"{title}\n")]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return set(re.findall(r"`([^`]+)`", "\n".join(rows)))


def test_formats():
    """
    Every format that is read or written has its row, and no other.
    """
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) ?\|", PAGE, re.MULTILINE)[:4]

    formats = {name: (bool(read), bool(written)) for name, read, written in rows}
    assert formats == {
        "flagstream": (True, True),
        **{name: (True, name in WRITERS) for name in READERS},
    }


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("PostHog", posthog._FLAG_MEMBERS | set(posthog._COHORT_MEMBERS)),
        ("PostHog", {"super_groups", "holdout_groups"}),
        ("flagd", set(flagd._MEMBERS) - {"source", "selector"}),
        ("flagd", {*OPERATORS, "fractional", "$ref"} - {"var"}),
        ("GO Feature Flag", goff._FLAG | goff._RULE - {"name"} - {"variation"}),
        ("GO Feature Flag", {"eq", "ne", "gt", "ge", "lt", "le", "co", "sw", "ew", "in", "pr"}),
    ],
)
def test_members(title, names):
    """
    Every member and operator that is read stands in the tables of its format.
    """
    assert set() == names - named(title)
