"""Comparisons of versions as other formats know them."""

from semver import Version

from .formulas import AllOf, Filter, Formula

OPERATORS = {
    "=": "semver_eq",
    "!=": "semver_neq",
    "<": "semver_lt",
    "<=": "semver_lte",
    ">": "semver_gt",
    ">=": "semver_gte",
}
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
RANGES = ("^", "~")


def compared(key: str, operator: str, written: str) -> Formula | None:
    """
    Test a version; None where what it is compared with is none, or the operator is unknown.

    ``^`` is any version of the same major number, ``~`` of the same minor one, pre-releases
    included.
    """
    version = _parsed(written)
    if version is None:
        return None
    if operator in OPERATORS:
        return Filter(key, OPERATORS[operator], str(version))
    if operator not in RANGES:
        return None
    low = Version(version.major, version.minor if operator == "~" else 0)
    high = low.bump_minor() if operator == "~" else low.bump_major()
    # The least pre-release of all.
    return AllOf((Filter(key, "semver_gte", f"{low}-0"), Filter(key, "semver_lt", f"{high}-0")))


def _parsed(written: str) -> Version | None:
    text = written.removeprefix("v").removeprefix("V")
    core = text.partition("-")[0].partition("+")[0]
    missing = ".0" * (2 - core.count("."))
    try:
        return Version.parse(core + missing + text[len(core) :])
    except ValueError:
        return None


def normalized(written: str) -> str | None:
    """Write a version with all its numbers; None for what is none."""
    version = _parsed(written)
    return None if version is None else str(version)
