"""The reference of limits says what the code does."""

import re
from pathlib import Path

from flagstream import limits
from flagstream.settings import Settings
from flagstream.warning_kinds import ADVICE, WarningKind

PAGE = (Path(__file__).parents[2] / "docs/reference/limits.md").read_text()
ROWS = re.findall(r"^\| `(\w+)` \| ([\d,.]+) \|", PAGE, re.MULTILINE)
# Not of what clients send.
UNLISTED = {"max_lag_changes", "max_lag_s"}
FIXED = {name: value for name, value in vars(limits).items() if name.isupper()}
SET = {
    name: field.default
    for name, field in Settings.model_fields.items()
    if name.startswith(("max_", "rate_"))
}


class TestLimits:
    def test_all_are_listed(self):
        """
        Every limit has one row, with its value or default.
        """
        listed = {name: float(value.replace(",", "")) for name, value in ROWS}

        assert len(listed) == len(ROWS)
        assert {**FIXED, **SET} == listed | {name: SET[name] for name in UNLISTED}

    def test_what_is_named_exists(self):
        """
        The page and what warnings say name no other limits.
        """
        texts = [PAGE, *(advice.what_to_do for advice in ADVICE.values())]
        named = {name for text in texts for name in re.findall(r"\b(?:max|MAX)_\w+", text)}

        assert set() == named - FIXED.keys() - SET.keys()


class TestWarnings:
    def test_each_has_a_section(self):
        """
        Every kind of warning has its section, and says by what became of it how it begins.
        """
        sections = dict(re.findall(r"^### `(\w+)`\n\n(.*)$", PAGE, re.MULTILINE))

        assert {kind.value for kind in WarningKind} == sections.keys()
        assert [] == [
            kind
            for kind, advice in ADVICE.items()
            if advice.outcome not in sections[kind].lower() and kind != "group_name_too_long"
        ]

    def test_each_has_advice(self):
        """
        Every kind says what to do, in a sentence.
        """
        assert set(WarningKind) == ADVICE.keys()
        assert all(advice.what_to_do.endswith(".") for advice in ADVICE.values())
