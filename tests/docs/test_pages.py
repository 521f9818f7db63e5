"""What the pages say is so."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flagstream.cli import main
from flagstream.flags import parse_flag
from flagstream.topics import Table, Topic

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
README = (ROOT / "README.md").read_text()
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page, language):
    """Take the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


class TestPages:
    @pages
    def test_links_lead_somewhere(self, page):
        """
        Every link to a file of the repository leads to one.
        """
        targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())

        assert [] == [target for target in targets if not (page.parent / target).exists()]

    @pages
    def test_lines_are_readable_in_a_terminal(self, page):
        """
        No line of prose is longer than 135 columns.
        """
        outside = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        prose = [line for line in outside.splitlines() if not line.startswith("|")]

        assert [] == [line for line in prose if len(line) > 135]


class TestReadme:
    def test_example_flag_is_accepted(self):
        """
        The definition in the README is one that the server takes, and is the sample in config/.
        """
        (example,) = blocks(README, "json")

        assert "new-billing" == parse_flag(json.loads(example)).key
        assert json.loads((ROOT / "config/flags/new-billing.json").read_text()) == json.loads(
            example
        )

    def test_library_example_runs(self):
        """
        The Python in the README runs as it stands.
        """
        (example,) = blocks(README, "python")

        ran = subprocess.run(
            [sys.executable, "-c", example], capture_output=True, text=True, check=False
        )

        assert (0, "") == (ran.returncode, ran.stderr)
        assert ran.stdout.startswith(("True ", "False "))

    def test_commands_exist(self):
        """
        The README lists every command of the command line, and no other.
        """
        listed = set(re.findall(r"^\| `flagstream ([a-z-]+)", README, re.MULTILINE))

        assert set(main.commands) == listed


class TestArchitecture:
    def test_topics_and_tables_are_listed(self):
        """
        Every topic and every table has its row.
        """
        text = (ROOT / "docs/architecture.md").read_text()
        names = [*(topic.value for topic in Topic), *(table.value for table in Table)]

        assert [] == [name for name in names if f"`{name}`" not in text]

    def test_modules_are_listed(self):
        """
        Every module and package at the top of the package has its row.
        """
        text = (ROOT / "docs/architecture.md").read_text()
        modules = {path.stem for path in (ROOT / "flagstream").glob("[a-z]*") if path.stem}

        assert set() == {name for name in modules if not re.search(rf"`{name}[`/]", text)}
