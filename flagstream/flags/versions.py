"""
Semantic versions in filters and properties, read as leniently as PostHog's server reads them.

What comes before the first number is a ``v`` at most; parts that are missing are 0, and numbers
may have leading zeros. The order is that of Semantic Versioning 2.0.0, build metadata left out.
"""

import operator
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from semver import Version

from .values import text

SEMVER_OPERATORS = frozenset(
    f"semver_{name}"
    for name in ("eq", "neq", "gt", "gte", "lt", "lte", "tilde", "caret", "wildcard")
)
_COMPARISONS: dict[str, Callable[[Version, Version], bool]] = {
    "semver_eq": operator.eq,
    "semver_neq": operator.ne,
    "semver_gt": operator.gt,
    "semver_gte": operator.ge,
    "semver_lt": operator.lt,
    "semver_lte": operator.le,
}
_WILDCARD = re.compile(r"(?:(?P<major>[0-9]+)\.)?(?:(?P<minor>[0-9]+)\.)?\*(?:\.\*)*")
_PARTS = 3
_MAX_CHARS = 256
_Matches = Callable[[Any], bool]


def compile_version(operator_name: str, wanted: Any) -> _Matches | None:
    """
    Compile a filter on a version.

    Returns:
        A test of a value, false for what is no version; None where nothing can match.
    """
    if operator_name in _COMPARISONS:
        bound = read_version(wanted)
        return None if bound is None else _compared(_COMPARISONS[operator_name], bound)
    if operator_name == "semver_wildcard":
        return _wildcard(text(wanted))
    lower = read_version(wanted)
    if lower is None:
        return None
    return _within(lower, _above_tilde(lower) if "tilde" in operator_name else _above_caret(lower))


def _compared(holds: Callable[[Version, Version], bool], bound: Version) -> _Matches:
    def matches(value: Any) -> bool:
        version = read_version(value)
        return version is not None and holds(version, bound)

    return matches


def _within(lower: Version, above: Version | None) -> _Matches:
    """Test a range; a pre-release is only in the range of a pre-release of the same version."""

    def matches(value: Any) -> bool:
        version = read_version(value)
        if version is None or version < lower or (above is not None and version >= above):
            return False
        return version.prerelease is None or (
            lower.prerelease is not None and version.finalize_version() == lower.finalize_version()
        )

    return matches


def _above_tilde(version: Version) -> Version:
    return version.bump_minor()


def _above_caret(version: Version) -> Version:
    """Bump the leftmost number that is not zero."""
    if version.major:
        return version.bump_major()
    return version.bump_minor() if version.minor else Version(0, 0, version.patch + 1)


def _wildcard(pattern: str) -> _Matches | None:
    found = _WILDCARD.fullmatch(_stripped(pattern)) if len(pattern) <= _MAX_CHARS else None
    if found is None or found[0].count(".") >= _PARTS:
        return None
    if found["major"] is None:
        return _within(Version(0), None)
    lower = Version(int(found["major"]), int(found["minor"] or 0))
    return _within(lower, lower.bump_minor() if found["minor"] else lower.bump_major())


def read_version(value: Any) -> Version | None:
    """Read a version; None for what is none."""
    written = value if isinstance(value, str) else text(value)
    return _parse(written) if len(written) <= _MAX_CHARS else None


@lru_cache(maxsize=4096)
def _parse(written: str) -> Version | None:
    plain = _stripped(written)
    core = re.split("[-+]", plain, maxsplit=1)[0]
    parts = [re.sub(r"^0+(?=[0-9]+$)", "", part) for part in core.split(".")]
    parts += ["0"] * (_PARTS - len(parts))
    try:
        return Version.parse(".".join(parts) + plain.removeprefix(core))
    except ValueError:
        return None


def _stripped(written: str) -> str:
    return written.removeprefix("v").strip()
