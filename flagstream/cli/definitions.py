"""Definitions of flags in files: read, checked, and compared with a server's."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flagstream.errors import FlagstreamError, InvalidDefinitionError, InvalidRequestError, quote
from flagstream.flags import parse_flag
from flagstream.management import changed_row, new_row

Row = Mapping[str, Any]
# What defines a flag; the rest of a row says what became of it.
_DEFINING = (
    "key",
    "name",
    "active",
    "archived",
    "deleted",
    "bucketing",
    "bucketing_identifier",
    "ensure_experience_continuity",
    "evaluation_runtime",
    "evaluation_contexts",
    "is_remote_configuration",
    "tags",
    "filters",
)


class DefinitionsError(FlagstreamError):
    """Definitions in files are malformed; every problem is a line with file and JSON path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """
    A flag as a file describes it.

    Attributes:
        place: File and JSON path, ``flags.json: $.flags[0]``.
    """

    place: str
    body: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    What has to be written so that a server has a flag as defined.

    Attributes:
        flag_id: None for a flag to be added.
        body: To be sent.
    """

    flag_id: int | None
    body: Row
    before: Row
    after: Row

    def diff(self) -> str:
        """Show the change line by line."""
        before, after = (
            json.dumps(row, indent=2, sort_keys=True, ensure_ascii=False).splitlines()
            if row
            else []
            for row in (self.before, self.after)
        )
        key = self.after["key"]
        lines = difflib.unified_diff(before, after, f"{key} now", f"{key} then", lineterm="")
        return "\n".join(lines)


def read_definitions(files: Iterable[Path]) -> Sequence[Definition]:
    """
    Read and check all flags of *files*; each holds one, a list, or ``{"flags": […]}``.

    Raises:
        DefinitionsError: Naming every problem.
    """
    definitions: list[Definition] = []
    problems: list[str] = []
    places: dict[str, str] = {}
    for file in files:
        try:
            definitions.extend(_parse_file(file))
        except DefinitionsError as error:
            problems.append(str(error))
    for definition in definitions:
        problems.extend(_problems(definition))
        key = str(definition.body.get("key"))
        if places.setdefault(key, definition.place) != definition.place:
            problems.append(f"{definition.place}: {key} is also defined in {places[key]}")
    if problems:
        raise DefinitionsError("\n".join(problems))
    return definitions


def _parse_file(file: Path) -> Iterator[Definition]:
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise DefinitionsError(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DefinitionsError(f"{file}: not JSON: {error}") from None
    if isinstance(document, dict) and "flags" in document:
        path, bodies = "$.flags", document["flags"]
    elif isinstance(document, list):
        path, bodies = "$", document
    else:
        yield _definition(f"{file}: $", document)
        return
    if not isinstance(bodies, list):
        raise DefinitionsError(f"{file}: {path}: expected a list of flags, got {quote(bodies)}")
    for index, body in enumerate(bodies):
        yield _definition(f"{file}: {path}[{index}]", body)


def _definition(place: str, body: object) -> Definition:
    if not isinstance(body, dict):
        raise DefinitionsError(f"{place}: expected an object, got {quote(body)}")
    # The version in an export is of the day it was made; what counts is that of today.
    return Definition(
        place=place, body={name: value for name, value in body.items() if name != "version"}
    )


def _problems(definition: Definition) -> Iterator[str]:
    try:
        parse_flag(new_row(definition.body, flag_id=1, bucketing="murmur3", now_ms=0))
    except InvalidDefinitionError as error:
        for problem in error.problems:
            yield definition.place + str(problem).removeprefix("$")
    except InvalidRequestError as error:
        yield f"{definition.place}: {error.detail}"


def defining(row: Row) -> Row:
    """Reduce a row to what defines the flag, as a file would hold it."""
    members = {name: row[name] for name in _DEFINING if row.get(name) is not None}
    if not members.get("deleted"):
        members.pop("deleted", None)
    if "filters" in members:
        filters = members["filters"].items()
        members["filters"] = {name: value for name, value in filters if value is not None}
    return members


def changes(rows: Iterable[Row], definitions: Iterable[Definition]) -> Iterator[Change]:
    """
    Compare the flags of a server with definitions.

    Filters are compared as a whole; other members that a definition leaves out stay as they are,
    and so do flags that are not defined.
    """
    current = {row["key"]: row for row in rows}
    for definition in definitions:
        row = current.get(definition.body["key"])
        if row is not None:
            change = _update(row, definition.body)
            if change.before != change.after:
                yield change
        elif not definition.body.get("deleted"):
            after = defining(definition.body)
            yield Change(flag_id=None, body=definition.body, before={}, after=after)


def _update(row: Row, body: Row) -> Change:
    if "filters" in body:
        # The server keeps what is not named: null takes it away.
        absent = dict.fromkeys(row["filters"].keys() - body["filters"].keys())
        body = {**body, "filters": {**absent, **body["filters"]}}
    return Change(
        flag_id=row["id"],
        body={**body, "version": row["version"]},
        before=defining(row),
        after=defining(changed_row(row, body, now_ms=0)),
    )
