"""The reference of settings lists every setting with its default, and so does the file of them."""

import json
import re
import tomllib
from pathlib import Path

from pydantic import SecretStr

from flagstream.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/settings.md").read_text()
FILE = tomllib.loads((ROOT / "config/flagstream.toml").read_text())
ROW = re.compile(r"^\| `(\w+)` \| `([^`]*)` \| .*[^. ] \|$", re.MULTILINE)


def default_of(name):
    """Give a default as TOML has it."""
    value = Settings.model_fields[name].default
    value = value.get_secret_value() if isinstance(value, SecretStr) else value
    value = ",".join(map(str, value)) if isinstance(value, tuple) else value
    return str(value) if isinstance(value, Path) else value


class TestReference:
    def test_every_setting_has_a_row(self):
        """
        Each setting has one row, in the order of config/flagstream.toml.
        """
        rows = [name for name, _ in ROW.findall(PAGE)]

        assert [] == [name for name in Settings.model_fields if name not in rows], (
            "docs/reference/settings.md lacks rows: | `name` | `default` | what it says |"
        )
        assert [] == [name for name in rows if name not in Settings.model_fields], (
            "docs/reference/settings.md has rows of what is no setting"
        )
        assert list(FILE) == rows, "not in the order of config/flagstream.toml"

    def test_defaults(self):
        """
        The default of each row is the one that counts.
        """
        rows = {name: tomllib.loads(f"it = {default}")["it"] for name, default in ROW.findall(PAGE)}

        assert {} == {
            name: f"`{json.dumps(default_of(name))}`, the page says {value!r}"
            for name, value in rows.items()
            if name in Settings.model_fields and value != default_of(name)
        }

    def test_file(self):
        """
        config/flagstream.toml has every setting with its default.
        """
        assert {name: default_of(name) for name in Settings.model_fields} == FILE
