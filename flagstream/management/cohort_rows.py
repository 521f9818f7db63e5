"""Rows of cohorts, made from what was sent, without I/O."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from flagstream.errors import InvalidDefinitionError, InvalidRequestError, Problem
from flagstream.flags.parse import parse_cohort

from .bodies import MEMBERS, NAME, Row, is_name, iso_time, unknown_members
from .references import CohortRows

COHORT_DEFINING = (
    "id",
    "name",
    "description",
    "filters",
    "group_type_index",
    "is_static",
    "members",
    "deleted",
)
"""The members that define a cohort; the others of a row say what became of it."""

# What an answer holds besides: clients send back what they have read.
COHORT_READ_ONLY: Row = {
    "groups": [],
    "query": None,
    "cohort_type": None,
    "created_by": None,
    "pending_version": None,
    "is_calculating": False,
    "last_calculation": None,
    "last_backfill_person_properties_at": None,
    "errors_calculating": 0,
    "last_error_message": None,
    "experiment_set": [],
}
_WRITABLE = {*COHORT_DEFINING, "version"}
_IGNORED = {*COHORT_READ_ONLY, "count", "created_at", "updated_at"}
# What the address of a cohort can hold, with room above the ids that imports bring along.
_MAX_ID = 10**9


def new_cohort_row(body: Row, *, cohort_rows: CohortRows, now_ms: int) -> dict[str, Any]:
    """
    Make the first row of a cohort.

    Args:
        cohort_rows: All that there are, by id. The id that *body* names is kept where no cohort
            has it that is not deleted: flags refer to cohorts by their ids.

    Raises:
        InvalidRequestError: Naming every member that is missing or wrong.
    """
    given = _given(body)
    now = iso_time(now_ms)
    row = {
        "name": None,
        "description": "",
        "filters": {},
        "group_type_index": None,
        "is_static": False,
        "members": [],
        "deleted": False,
        **given,
        "id": _free_id(cohort_rows, given.get("id")),
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    return _canonical(row, given)


def _free_id(cohort_rows: CohortRows, asked: Any) -> int:
    """Keep an id that is asked for and free; else give one that no cohort ever had."""
    if _is_id(asked) and cohort_rows.get(asked, {"deleted": True})["deleted"]:
        return int(asked)
    highest = max(cohort_rows, default=0)
    behind = chain(range(highest + 1, _MAX_ID + 1), range(1, highest))
    return next(cohort_id for cohort_id in behind if cohort_id not in cohort_rows)


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 < value <= _MAX_ID


def changed_cohort_row(row: Row, body: Row, *, now_ms: int) -> dict[str, Any]:
    """
    Make the next row of a cohort; each member that is given replaces the stored one as a whole.

    Raises:
        InvalidRequestError: Naming every member that is wrong, or the id would change.
    """
    given = _given(body)
    if given.get("id", row["id"]) != row["id"]:
        raise InvalidRequestError(
            "id: a cohort keeps its id; make another cohort instead", code="immutable", attr="id"
        )
    changed = {**row, **given, "version": row["version"] + 1, "updated_at": iso_time(now_ms)}
    return _canonical(changed, given)


def restored_cohort_row(row: Row, before: Row, *, now_ms: int) -> dict[str, Any]:
    """
    Make the next row of a cohort, defined as it was once before; members stay as they are.

    Raises:
        InvalidRequestError: What was right then is not any more.
    """
    defining = {
        name: before[name] for name in COHORT_DEFINING if name in before and name != MEMBERS
    }
    return changed_cohort_row(row, defining, now_ms=now_ms)


def with_members(row: Row, members: Sequence[str], *, now_ms: int) -> dict[str, Any]:
    """
    Make the next row of a static cohort, with other members.

    Raises:
        InvalidRequestError: The cohort is not static.
    """
    check_static(row)
    return changed_cohort_row(row, {"members": members}, now_ms=now_ms)


def check_static(row: Row) -> None:
    """
    Check that who is in a cohort is listed.

    Raises:
        InvalidRequestError: Its filters say it.
    """
    if not row["is_static"]:
        raise InvalidRequestError(
            "members: the cohort is not static, its filters say who is in it",
            code="not_static",
            attr="members",
        )


def _given(body: Row) -> dict[str, Any]:
    # PostHog answers null for the filters of a static cohort.
    return {
        name: value
        for name, value in body.items()
        if name not in _IGNORED and not (name in ("id", "filters") and value is None)
    }


def _canonical(row: dict[str, Any], given: Row) -> dict[str, Any]:
    """Check a whole row and what was given for it; write it as the engine's parser reads it."""
    problems = {each.path: each for each in chain(unknown_members(given, _WRITABLE), _odd(row))}
    if "id" in given and not _is_id(given["id"]):
        expected = f"a number from 1 to {_MAX_ID}"
        problems["$.id"] = Problem(path="$.id", expected=expected, got=given["id"])
    try:
        definition = parse_cohort(row)
    except InvalidDefinitionError as error:
        found = {each.path: each for each in error.problems}
        raise InvalidDefinitionError([*{**found, **problems}.values()]) from None
    if problems:
        raise InvalidDefinitionError([*problems.values()])
    return {
        **row,
        "filters": definition.filters.model_dump(mode="json", exclude_unset=True),
        "members": list(dict.fromkeys(definition.members)),
    }


def _odd(row: Row) -> Iterator[Problem]:
    """Name what the parser takes, for the sake of rows of elsewhere, and nobody can mean."""
    if row["deleted"] is True:
        return
    name, filters = row["name"], row["filters"]
    if not is_name(name):
        yield Problem(path="$.name", expected=NAME, got=name)
    # Without rules everybody would be in it, also where they stand under a misspelt name.
    if not row["is_static"] and isinstance(filters, dict) and "properties" not in filters:
        expected = "an object with type and values, as the cohort is not static"
        yield Problem(path="$.filters.properties", expected=expected, got=None)
