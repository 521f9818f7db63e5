"""A document with the definitions of a project, as ``/flags/definitions`` answers it or like it."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from .local import ORIGINAL
from .model import Part
from .parse import parse_as
from .project import Definitions, time_zone
from .walk import Row

_ID = re.compile("[0-9]{1,16}")
_Rows = list[dict[str, Any]]
_Rules = dict[str, dict[str, Any]]


def _check_time_zone(name: str) -> str:
    if time_zone(name) is None:
        raise PydanticCustomError("timezone", "the name of a time zone")
    return name


class _Document(Part):
    flags: _Rows
    group_type_mapping: dict[Literal["0", "1", "2", "3", "4"], str] | None = None
    cohorts: _Rules | _Rows | None = None
    other_cohorts: _Rules | None = None
    timezone: Annotated[str, AfterValidator(_check_time_zone)] | None = None
    property_matching_version: Literal[1, 2] | None = None


def read_document(document: Mapping[str, Any]) -> Definitions:
    """
    Take a document apart; whether its flags and cohorts can be read is seen later.

    Raises:
        InvalidDefinitionError: The document itself has another shape.
    """
    parsed = parse_as(_Document, document)
    return Definitions(
        flags={_key(at, row): _original(row) for at, row in enumerate(parsed.flags)},
        cohorts=dict(_cohorts(parsed)),
        group_types={name: int(index) for index, name in (parsed.group_type_mapping or {}).items()},
        timezone=parsed.timezone or "UTC",
        property_matching_version=parsed.property_matching_version or 1,
    )


def _key(at: int, row: Row) -> str:
    key = row.get("key")
    return key if isinstance(key, str) else f"\0{at}"


def _original(row: Row) -> Row:
    """Take a flag as it is stored, where a document holds something else for SDKs."""
    if row.get("bucketing_identifier") == "device_id":
        # Never stored with such a flag: this is the mark by which SDKs ask the server.
        row = {**row, "ensure_experience_continuity": False}
    return {**row, "filters": row[ORIGINAL]} if ORIGINAL in row else row


def _cohorts(document: _Document) -> Iterator[tuple[int, Row]]:
    cohorts = document.cohorts or {}
    if isinstance(cohorts, list):
        yield from ((row["id"], row) for row in cohorts if isinstance(row.get("id"), int))
        return
    for name, group in (*cohorts.items(), *(document.other_cohorts or {}).items()):
        if _ID.fullmatch(name):
            group_type = group.get("group_type_index")
            rules = {member: group[member] for member in ("type", "values") if member in group}
            row = {"id": int(name), "filters": {"properties": rules}}
            yield int(name), {**row, "group_type_index": group_type}
