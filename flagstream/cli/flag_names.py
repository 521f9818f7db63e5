"""Flags that filters name: by keys, because ids are other ones on every server."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, cast

from flagstream.flags.walk import cohort_tests, flag_tests
from flagstream.state.definitions import Kind

Row = Mapping[str, Any]


def keys_by_id(flags: Iterable[Row]) -> Mapping[str, str]:
    """Find the keys of flags by their ids; without keys of digits alone, which read as ids."""
    return {
        str(row["id"]): row["key"]
        for row in flags
        if type(row.get("id")) is int and not row["key"].isdigit()
    }


def named_by_key(kind: Kind, row: Row, keys: Mapping[str, str]) -> Row:
    """
    Write keys for the ids by which a flag's or a cohort's filters name flags.

    Args:
        keys: By id; other ids are left as they are.
    """
    row = {**row, "filters": deepcopy(row["filters"])} if "filters" in row else row
    for _, test in (cohort_tests if kind is Kind.COHORT else flag_tests)(row):
        # Where there is a chain, the filter names a key already.
        if test.get("type") == "flag" and test.get("dependency_chain") is None:
            # Of the copy, hence ours to change.
            cast("dict[str, Any]", test)["key"] = keys.get(test["key"], test["key"])
    return row
