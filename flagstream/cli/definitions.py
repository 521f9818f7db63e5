"""Definitions of flags and cohorts in files: read and checked."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flagstream.errors import FlagstreamError, InvalidDefinitionError, InvalidRequestError, quote
from flagstream.management import cycles, new_cohort_row, new_row
from flagstream.state.definitions import Kind

from .flag_names import keys_by_id, named_by_key

Row = Mapping[str, Any]
_LISTS = {"flags": Kind.FLAG, "cohorts": Kind.COHORT}


class DefinitionsError(FlagstreamError):
    """Definitions in files are malformed; every problem is a line with file and JSON path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """
    A flag or a cohort as a file describes it.

    Attributes:
        place: File and JSON path, ``flags.json: $.flags[0]``.
    """

    kind: Kind
    place: str
    body: Row


def read_definitions(files: Iterable[Path]) -> Sequence[Definition]:
    """
    Read and check all definitions of *files*.

    Each holds one flag, a list of flags, or ``{"flags": […], "cohorts": […]}``. Flags that name
    other flags by ids which the files tell do so by keys afterwards.

    Raises:
        DefinitionsError: Naming every problem.
    """
    definitions: list[Definition] = []
    problems: list[str] = []
    for file in files:
        try:
            definitions.extend(_parse_file(file))
        except DefinitionsError as error:
            problems.append(str(error))
    return checked_definitions(definitions, problems)


def checked_definitions(
    definitions: Sequence[Definition], problems: Iterable[str] = ()
) -> Sequence[Definition]:
    """
    Check definitions, and let flags name others by keys.

    Args:
        problems: That are known already.

    Raises:
        DefinitionsError: Naming every problem.
    """
    problems, places = [*problems], dict[str, str]()
    for definition in definitions:
        problems.extend(_problems(definition))
        problems.extend(_repetitions(definition, places))
    problems = problems or list(_cycles(definitions))
    if problems:
        raise DefinitionsError("\n".join(problems))
    keys = keys_by_id(each.body for each in definitions if each.kind is Kind.FLAG)
    return [replace(each, body=named_by_key(each.kind, each.body, keys)) for each in definitions]


def read_file(file: Path, kind: str = "JSON", decode: Callable[[bytes], Any] = json.loads) -> Any:
    """
    Read what a file says.

    Args:
        kind: In which format, for people.

    Raises:
        DefinitionsError: It cannot be read, with the reason.
    """
    try:
        return decode(file.read_bytes())
    except OSError as error:
        raise DefinitionsError(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DefinitionsError(f"{file}: not {kind}: {error}") from None


def _parse_file(file: Path) -> Iterator[Definition]:
    document = read_file(file)
    if isinstance(document, list):
        yield from _parse_list(f"{file}: $", Kind.FLAG, document)
    elif isinstance(document, dict) and document.keys() & _LISTS.keys():
        for name, kind in _LISTS.items():
            if name in document:
                yield from _parse_list(f"{file}: $.{name}", kind, document[name])
    else:
        yield _definition(f"{file}: $", Kind.FLAG, document)


def _parse_list(place: str, kind: Kind, bodies: object) -> Iterator[Definition]:
    if not isinstance(bodies, list):
        raise DefinitionsError(f"{place}: expected a list of {kind}s, got {quote(bodies)}")
    for index, body in enumerate(bodies):
        yield _definition(f"{place}[{index}]", kind, body)


def _definition(place: str, kind: Kind, body: object) -> Definition:
    if not isinstance(body, dict):
        raise DefinitionsError(f"{place}: expected an object, got {quote(body)}")
    # The version in an export is of the day it was made; what counts is that of today.
    known = {name: value for name, value in body.items() if name != "version"}
    return Definition(kind=kind, place=place, body=known)


def _problems(definition: Definition) -> Iterator[str]:
    body = definition.body
    if definition.kind is Kind.COHORT and body.get("id") is None:
        yield f"{definition.place}.id: expected the id that flags name it by, got None"
    try:
        _row(definition)
    except InvalidDefinitionError as error:
        for problem in error.problems:
            yield definition.place + str(problem).removeprefix("$")
    except InvalidRequestError as error:
        yield f"{definition.place}: {error.detail}"


def _row(definition: Definition) -> Row:
    """Make the row that a server without any others would."""
    if definition.kind is Kind.COHORT:
        return new_cohort_row(definition.body, cohort_rows={}, now_ms=0)
    return new_row(definition.body, flag_id=1, bucketing="murmur3", now_ms=0)


def _repetitions(definition: Definition, places: dict[str, str]) -> Iterator[str]:
    """Name what was defined before: a key, or an id by which filters name flags or cohorts."""
    key, number = definition.body.get("key"), definition.body.get("id")
    names = [key] if definition.kind is Kind.FLAG and isinstance(key, str) else []
    if type(number) is int:
        names.append(f"the {definition.kind} with id {number}")
    for name in names:
        if (first := places.setdefault(name, definition.place)) != definition.place:
            yield f"{definition.place}: {name} is also defined in {first}"


def _cycles(definitions: Iterable[Definition]) -> Iterator[str]:
    """Name the places where cohorts refer to themselves; all are well-formed."""
    rows = {each.place: _row(each) for each in definitions if each.kind is Kind.COHORT}
    cohort_rows = {row["id"]: row for row in rows.values()}
    for place, row in rows.items():
        for problem in cycles(row, cohort_rows):
            yield place + str(problem).removeprefix("$")
