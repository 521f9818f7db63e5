"""Walks through the tests in stored rows, each with its path; what is odd is passed over."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard, cast

Row = Mapping[str, Any]
Path = tuple[int | str, ...]
Places = Sequence[tuple[Path, Row]]


def conditions(row: Row) -> Places:
    """Walk through the conditions of a flag."""
    return objects(("filters", "groups"), object_of(row.get("filters")).get("groups"))


def flag_tests(row: Row) -> Places:
    """Walk through the filters of a flag."""
    return [
        each for path, condition in conditions(row) for each in condition_tests(path, condition)
    ]


def condition_tests(path: Path, condition: Row) -> Places:
    """Pick the filters of one condition of a flag."""
    return objects((*path, "properties"), condition.get("properties"))


def cohort_tests(row: Row) -> Iterator[tuple[Path, Row]]:
    """Walk through the filters of a cohort, one level of groups after the other."""
    for level in cohort_levels(row):
        for path, group in level:
            yield from group_tests(path, group)


def cohort_levels(row: Row) -> Iterator[Places]:
    """Walk through the groups of a cohort, level by level."""
    top = object_of(object_of(row.get("filters")).get("properties"))
    level: Places = [(("filters", "properties"), top)]
    while level:
        yield level
        entries = [each for path, group in level for each in _entries(path, group)]
        level = [(path, entry) for path, entry in entries if "values" in entry]


def group_tests(path: Path, group: Row) -> Places:
    """Pick the filters of one group of a cohort; groups within it are left out."""
    return [(at, entry) for at, entry in _entries(path, group) if "values" not in entry]


def _entries(path: Path, group: Row) -> Places:
    return objects((*path, "values"), group.get("values"))


def objects(path: Path, value: Any) -> Places:
    """Pick the objects of a list that stands at a path."""
    return [((*path, index), each) for index, each in enumerate(list_of(value)) if _is_object(each)]


def object_of(value: Any) -> Row:
    """Take an object for what it is; anything else for an empty one."""
    return value if _is_object(value) else {}


def list_of(value: Any) -> Sequence[Any]:
    """Take a list for what it is; anything else for an empty one."""
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ()


def _is_object(value: Any) -> TypeGuard[Row]:
    """Tell whether something has members."""
    # Nearly all are dictionaries, and asking for the abstract class takes ten times as long.
    return type(value) is dict or isinstance(value, Mapping)


def json_path(path: Path) -> str:
    """Write a path as JSON path; parts that begin with NUL are the model's own and left out."""
    return "$" + "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}"
        for part in path
        if not (isinstance(part, str) and part.startswith("\0"))
    )
