"""Capture without HTTP: events in a few words, over a folded log."""

from dataclasses import replace
from itertools import count
from typing import Any

from flagstream.ingest import Ingest, Ingested, Planner
from flagstream.ports import ProjectSettings, ProjectSnapshot
from flagstream.wire import EventLimits, parse_capture
from tests.fakes.sink import FoldedLog
from tests.fakes.views import FakeCatalog, FakeSeen, FakeWarnings

PROJECT_ID = 1
NOW_MS = 1_767_607_200_000


class LogCatalog:
    """The group types as far as they are folded."""

    def __init__(self, log: FoldedLog) -> None:
        self.settings = ProjectSettings()
        self._log = log
        self._empty = FakeCatalog().project(PROJECT_ID)

    def project(self, project_id: int) -> ProjectSnapshot:
        types = self._log.group_types(project_id)
        return replace(self._empty, group_types=types, settings=self.settings)


class Capturing:
    """One server's ingestion and the clock of its clients."""

    def __init__(self, log: FoldedLog, **limits: int) -> None:
        self.log = log
        self.limits = EventLimits(**limits)
        self.catalog = LogCatalog(log)
        self.warnings = FakeWarnings()
        self.seen = FakeSeen()
        self.ingest = Ingest(
            view=log,
            catalog=self.catalog,
            progress=log,
            sink=log,
            warnings=self.warnings,
            planner=Planner(self.seen, self.limits),
        )
        self._received_ms = (NOW_MS + 100 * number for number in count())

    async def send(self, *events: Any, project_id: int = PROJECT_ID) -> Ingested:
        """Ingest one request."""
        received_ms = next(self._received_ms)
        captured = parse_capture(
            {"token": "phc_one", "batch": list(events)},
            {},
            received_ms=received_ms,
            limits=self.limits,
        )
        return await self.ingest.ingest(project_id, captured)


def event(
    name: str = "ev", distinct_id: str = "user-1", *, late_ms: int = 0, **members: Any
) -> Any:
    """Make an event; a *properties* member is written with its dollar signs."""
    return {"event": name, "distinct_id": distinct_id, "offset": late_ms, **members}


def in_groups(session_id: str, groups: Any, **members: Any) -> Any:
    """Make an event of a browser's session."""
    return event(properties={"$session_id": session_id, "$groups": groups}, **members)


def identify(distinct_id: str, anonymous_id: str, **properties: Any) -> Any:
    """Make the event of a login; *properties* like ``set`` are written without dollar signs."""
    return _merging("$identify", distinct_id, properties, {"$anon_distinct_id": anonymous_id})


def alias(distinct_id: str, other: str, **properties: Any) -> Any:
    """Make an alias, likewise."""
    return _merging("$create_alias", distinct_id, properties, {"alias": other})


def merge_dangerously(distinct_id: str, other: str, **properties: Any) -> Any:
    """Make a merge of persons whether they are identified or not, likewise."""
    return _merging("$merge_dangerously", distinct_id, properties, {"alias": other})


def change_person(distinct_id: str, **properties: Any) -> Any:
    """Make a change of a person's properties, likewise."""
    return _merging("$set", distinct_id, properties, {})


def _merging(name: str, distinct_id: str, changes: Any, properties: Any) -> Any:
    dollars = {f"${change}": value for change, value in changes.items()}
    return event(name, distinct_id, properties={**properties, **dollars})


def group_identify(
    group_type: str, key: Any, /, unset: Any = (), once: Any = None, **values: Any
) -> Any:
    """Make a change of a group's properties."""
    properties = {
        "$group_type": group_type,
        "$group_key": key,
        "$group_set": values,
        "$group_set_once": once,
        "$group_unset": list(unset),
    }
    return event("$groupidentify", properties=properties)
