"""What a server has, compared with definitions, and what has to be written to make it equal."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flagstream.flags.ordering import dependencies_first
from flagstream.flags.walk import cohort_tests
from flagstream.management import (
    COHORT_DEFINING,
    DEFINING,
    changed_cohort_row,
    changed_row,
    named_cohorts,
)
from flagstream.state.definitions import Kind

from .definitions import Definition
from .flag_names import keys_by_id, named_by_key

Row = Mapping[str, Any]
_RARE = ("archived", "deleted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    What has to be written so that a server has a flag or a cohort as defined.

    Attributes:
        id: None for what is to be added.
        body: To be sent.
    """

    kind: Kind
    id: int | None
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
        name = self.after["key"] if self.kind is Kind.FLAG else f"cohort {self.after['id']}"
        lines = difflib.unified_diff(before, after, f"{name} now", f"{name} then", lineterm="")
        return "\n".join(lines)


def defining(row: Row) -> Row:
    """Reduce a row to what defines the flag, as a file would hold it."""
    members = _members(row, DEFINING)
    if "filters" in members:
        filters = members["filters"].items()
        members["filters"] = {name: value for name, value in filters if value is not None}
    return members


def defining_cohort(row: Row) -> Row:
    """Reduce a row to what defines the cohort, likewise."""
    members = _members(row, COHORT_DEFINING)
    if not members.get("is_static"):
        members.pop("members", None)
    return members


_DEFINING = {Kind.FLAG: defining, Kind.COHORT: defining_cohort}


def _members(row: Row, names: Iterable[str]) -> dict[str, Any]:
    return {
        name: row[name]
        for name in names
        if row.get(name) is not None and (row[name] or name not in _RARE)
    }


def exported(flags: Iterable[Row], cohorts: Iterable[Row]) -> Row:
    """Make the definitions that a server's rows come from, fit for other servers."""
    flags = sorted(flags, key=lambda row: row["key"])
    keys = keys_by_id(flags)
    return {
        "flags": [defining(named_by_key(Kind.FLAG, row, keys)) for row in flags],
        "cohorts": [
            defining_cohort(named_by_key(Kind.COHORT, row, keys))
            for row in sorted(cohorts, key=lambda row: row["id"])
        ],
    }


def changes(
    flags: Iterable[Row], cohorts: Iterable[Row], definitions: Iterable[Definition]
) -> Iterator[Change]:
    """
    Compare the flags and cohorts of a server with definitions.

    Filters are compared as a whole; other members that a definition leaves out stay as they are,
    and so does what is not defined.

    Returns:
        In an order in which the server takes them: cohorts before what names them, those to be
        deleted behind what named them.
    """
    flags = list(flags)
    # Ids that the files do not tell are the server's.
    keys = keys_by_id(flags)
    definitions = [
        replace(each, body=named_by_key(each.kind, each.body, keys)) for each in definitions
    ]
    known_flags = {row["key"]: named_by_key(Kind.FLAG, row, keys) for row in flags}
    known_cohorts = {row["id"]: named_by_key(Kind.COHORT, row, keys) for row in cohorts}
    for definition in _in_order(definitions, known_cohorts):
        kind, body = definition.kind, definition.body
        known = known_flags.get(body["key"]) if kind is Kind.FLAG else known_cohorts.get(body["id"])
        change = _addition(kind, body) if known is None else _change(kind, known, body)
        if change.before != change.after:
            yield change


def _in_order(
    definitions: Sequence[Definition], cohorts: Mapping[int, Row]
) -> Iterator[Definition]:
    defined = {each.body["id"]: each for each in definitions if each.kind is Kind.COHORT}
    gone = {
        cohort_id: cohorts.get(cohort_id, {})
        for cohort_id, each in defined.items()
        if each.body.get("deleted")
    }
    kept = {cohort_id: each.body for cohort_id, each in defined.items() if cohort_id not in gone}
    yield from (defined[cohort_id] for cohort_id in _named_first(kept))
    yield from (each for each in definitions if each.kind is Kind.FLAG)
    yield from (defined[cohort_id] for cohort_id in reversed(_named_first(gone)))


def _named_first(cohorts: Mapping[int, Row]) -> Sequence[int]:
    return dependencies_first(
        {
            cohort_id: [named for _, named in named_cohorts(cohort_tests(row)) if named in cohorts]
            for cohort_id, row in cohorts.items()
        }
    )


def _change(kind: Kind, row: Row, body: Row) -> Change:
    if kind is Kind.FLAG and "filters" in body:
        # The server keeps what is not named: null takes it away.
        absent = dict.fromkeys(row["filters"].keys() - body["filters"].keys())
        body = {**body, "filters": {**absent, **body["filters"]}}
    changed = changed_row if kind is Kind.FLAG else changed_cohort_row
    return Change(
        kind=kind,
        id=row["id"],
        body={**body, "version": row["version"]},
        before=_DEFINING[kind](row),
        after=_DEFINING[kind](changed(row, body, now_ms=0)),
    )


def _addition(kind: Kind, body: Row) -> Change:
    """Add what is not there; what is to be deleted is gone already."""
    after = {} if body.get("deleted") else _DEFINING[kind](body)
    return Change(kind=kind, id=None, body=body, before={}, after=after)
