"""What is sent for a row, and what every row has."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, TypeGuard

from flagstream.errors import Problem

Row = Mapping[str, Any]
MEMBERS = "members"
"""What a static cohort has besides its definition."""
_MAX_NAME_CHARS = 400
# Of the years 1 and 9999. Producers of their own write whatever they like.
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_000
NAME = f"a text of 1 to {_MAX_NAME_CHARS} characters"
"""What is expected of the name of a project or a cohort."""


def unknown_members(body: Row, known: Collection[str]) -> list[Problem]:
    """Name the members that no row of this kind has: a misspelt one must not pass unnoticed."""
    return [
        Problem(path=f"$.{name}", expected="no member of this name", got=value)
        for name, value in body.items()
        if name not in known
    ]


def iso_time(time_ms: int) -> str:
    """Write Unix milliseconds as the API does; times beyond the calendar as its ends."""
    time_ms = min(max(time_ms, _FIRST_MS), _LAST_MS)
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def is_name(value: Any) -> TypeGuard[str]:
    """Tell whether something is a :data:`NAME`."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME_CHARS
