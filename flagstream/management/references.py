"""Where definitions name cohorts, and what must hold of the cohorts that are named."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from flagstream.errors import ConflictError, InvalidDefinitionError, Problem
from flagstream.flags.walk import Path, cohort_tests, flag_tests, json_path
from flagstream.ports import ProjectSnapshot

from .bodies import Row

_MAX_NAMED = 10
CohortRows = Mapping[int, Row]
Tests = Iterable[tuple[Path, Row]]


def named_cohorts(tests: Tests) -> Iterator[tuple[str, int]]:
    """Pick the ids of the cohorts that filters name, each with its JSON path."""
    for path, test in tests:
        if test.get("type") == "cohort" and type(test.get("value")) is int:
            yield f"{json_path(path)}.value", test["value"]


def dependents(flag_id: int, snapshot: ProjectSnapshot) -> list[Row]:
    """List the flags that are not deleted and ask what a flag says."""
    return [
        row
        for row in snapshot.flag_rows.values()
        if not row["deleted"]
        and any(
            test.get("type") == "flag" and str(test.get("key")) == str(flag_id)
            for _, test in flag_tests(row)
        )
    ]


def check_flag(row: Row, snapshot: ProjectSnapshot) -> None:
    """
    Check that a flag, if it is evaluated, names only cohorts that there are.

    Raises:
        InvalidDefinitionError: With the JSON paths of those that there are not.
    """
    if row["active"] and not row["deleted"]:
        _refuse(_missing(flag_tests(row), snapshot.cohort_rows))


def check_cohort(row: Row, snapshot: ProjectSnapshot) -> None:
    """
    Check that a cohort names only others that there are, and is not deleted while in use.

    Raises:
        InvalidDefinitionError: With the JSON paths of cohorts that are not there, or that refer to
            this one, directly or through others.
        ConflictError: Naming the active flags and the cohorts that use it.
    """
    if not row["deleted"]:
        others = {**snapshot.cohort_rows, row["id"]: row}
        _refuse([*_missing(cohort_tests(row), others), *cycles(row, others)])
    elif users := _users(row["id"], snapshot):
        more = [f"{len(users) - _MAX_NAMED} more"] if len(users) > _MAX_NAMED else []
        raise ConflictError(
            f"The cohort is used by {', '.join(users[:_MAX_NAMED] + more)}.",
            code="in_use",
            attr="deleted",
        )


def _refuse(problems: Iterable[Problem]) -> None:
    found = list(problems)
    if found:
        raise InvalidDefinitionError(found)


def _missing(tests: Tests, cohort_rows: CohortRows) -> Iterator[Problem]:
    for path, cohort_id in named_cohorts(tests):
        if cohort_rows.get(cohort_id, {"deleted": True})["deleted"]:
            yield Problem(path=path, expected="the id of a cohort", got=cohort_id)


def cycles(row: Row, cohort_rows: CohortRows) -> Iterator[Problem]:
    """
    Name the places where a cohort refers to itself, directly or through others.

    Args:
        cohort_rows: By id, the cohort itself among them.
    """
    named = list(named_cohorts(cohort_tests(row)))
    referring = _referring(row["id"], cohort_rows) if named else set()
    for path, cohort_id in named:
        if cohort_id in referring:
            expected = "a cohort that does not refer to this one"
            yield Problem(path=path, expected=expected, got=cohort_id)


def _referring(cohort_id: int, cohort_rows: CohortRows) -> set[int]:
    """Collect the ids of the cohorts that refer to one, directly or through others, and its own."""
    users: defaultdict[int, set[int]] = defaultdict(set)
    for user, row in cohort_rows.items():
        if not row["deleted"]:
            for _, named in named_cohorts(cohort_tests(row)):
                users[named].add(user)
    found, pending = {cohort_id}, [cohort_id]
    while pending:
        new = users[pending.pop()] - found
        found |= new
        pending.extend(new)
    return found


def _users(cohort_id: int, snapshot: ProjectSnapshot) -> list[str]:
    """Name the active flags and the cohorts whose filters name a cohort."""
    flags = [
        f"flag {key}"
        for key, row in snapshot.flag_rows.items()
        if row["active"] and not row["deleted"] and _names(flag_tests(row), cohort_id)
    ]
    cohorts = [
        f"cohort {user} ({row['name']})"
        for user, row in snapshot.cohort_rows.items()
        if not row["deleted"] and user != cohort_id and _names(cohort_tests(row), cohort_id)
    ]
    return flags + cohorts


def _names(tests: Tests, cohort_id: int) -> bool:
    return any(named == cohort_id for _, named in named_cohorts(tests))
