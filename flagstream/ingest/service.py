"""From captured events to durable records."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from flagstream.errors import quote
from flagstream.ports import (
    Catalog,
    IngestionWarning,
    Position,
    Progress,
    RecordSink,
    SeenEvents,
    StateView,
    Warnings,
)
from flagstream.state.group_types import MAX_TYPES
from flagstream.telemetry import (
    EVENTS_ACCEPTED,
    EVENTS_REJECTED,
    EVENTS_REPEATED,
    GROUP_TYPES_REFUSED,
    MERGES_REFUSED,
)
from flagstream.wire import Captured, GroupChange, Rejection

from .batch import Batch
from .in_flight import InFlight
from .planner import Plan, Planner
from .retries import settled

_MAX_REFUSED_TYPES = 1_000


class Ingested(NamedTuple):
    """
    What became of a request.

    Attributes:
        positions: Of the records that its state follows from.
        rejections: The events of which nothing is kept.
        is_empty: Whether these are all.
    """

    positions: Sequence[Position]
    rejections: Sequence[Rejection]
    is_empty: bool


class ChangedGroups(NamedTuple):
    """
    What became of changes of groups.

    Attributes:
        positions: Of the records that the state follows from.
        refused: Group types that came when all indexes were given; nothing is kept of their groups.
    """

    positions: Sequence[Position]
    refused: Collection[str]


class Ingest:
    """Appends what clients capture, and the changes of state that follow from it."""

    def __init__(
        self,
        *,
        view: StateView,
        catalog: Catalog,
        progress: Progress,
        sink: RecordSink,
        warnings: Warnings,
        seen: SeenEvents,
    ) -> None:
        self._view = view
        self._catalog = catalog
        self._sink = sink
        self._warnings = warnings
        self._in_flight = InFlight(progress)
        self._planner = Planner(seen, self._refuse_type)
        self._refused_types: dict[tuple[int, str], None] = {}

    async def ingest(self, project_id: int, captured: Captured) -> Ingested:
        """
        Make a request's events durable.

        Raises:
            LogUnavailableError: The log takes no writes now; nothing is acknowledged.
            OverloadedError: Too many changes are in flight.
        """
        snapshot = self._catalog.project(project_id)
        plan = Plan(
            batch=Batch(project_id, self._view, snapshot, self._in_flight),
            outcome=asyncio.get_running_loop().create_future(),
        )
        positions = await self._settle(plan, captured)
        self._report(project_id, plan, captured.received_ms)
        count = len(captured.events) + len(captured.rejections)
        EVENTS_ACCEPTED.inc(count - len(plan.rejections))
        EVENTS_REPEATED.inc(plan.repeats)
        repeated = [position for each in plan.repeated for position in await settled(each)]
        return Ingested(
            positions=[*positions, *plan.batch.visible_after, *repeated],
            rejections=plan.rejections,
            is_empty=count == len(plan.rejections),
        )

    async def change_groups(
        self, project_id: int, changes: Iterable[GroupChange], time_ms: int
    ) -> ChangedGroups:
        """
        Make changes of groups durable that came without events.

        Raises:
            LogUnavailableError: The log takes no writes now; nothing is acknowledged.
            OverloadedError: Too many changes are in flight.
        """
        return await self._append(
            project_id,
            lambda batch: {
                change.group_type
                for change in changes
                if not self._planner.plan_group(batch, change, time_ms)
            },
        )

    async def _append(
        self, project_id: int, plan: Callable[[Batch], Collection[str]]
    ) -> ChangedGroups:
        """Append what is planned; *plan* tells which group types are refused."""
        snapshot = self._catalog.project(project_id)
        batch = Batch(project_id, self._view, snapshot, self._in_flight)
        try:
            refused = plan(batch)
            positions = await self._sink.append(batch.appends) if batch.appends else ()
        except BaseException:
            batch.fail()
            raise
        return ChangedGroups([*batch.land(positions), *batch.visible_after], refused)

    async def add_group_type(self, project_id: int, group_type: str, time_ms: int) -> ChangedGroups:
        """
        Give a type the next index, before the first group of it is seen.

        Raises:
            LogUnavailableError: The log takes no writes now; nothing is acknowledged.
            OverloadedError: Too many changes are in flight.
        """
        return await self._append(
            project_id,
            lambda batch: (
                () if self._planner.plan_type(batch, group_type, time_ms) else (group_type,)
            ),
        )

    async def _settle(self, plan: Plan, captured: Captured) -> Sequence[Position]:
        """Plan and append; whatever happens, whoever waits for the outcome learns it."""
        try:
            self._planner.plan(plan, captured)
            positions = await self._sink.append(plan.batch.appends) if plan.batch.appends else ()
        except BaseException:
            self._planner.abandon(plan)
            plan.outcome.set_result(None)
            raise
        changes = plan.batch.land(positions)
        plan.outcome.set_result(changes)
        return changes

    def _report(self, project_id: int, plan: Plan, time_ms: int) -> None:
        EVENTS_REJECTED.inc(len(plan.rejections))
        MERGES_REFUSED.inc(len(plan.refused_merges))
        for each in plan.rejections:
            warning = IngestionWarning(
                time_ms=time_ms, field=each.field, detail=each.detail, event=each.event
            )
            self._warnings.add(project_id, warning)
        for event, merge in plan.refused_merges:
            detail = f"expected an id that was not identified, got {quote(merge.distinct_id)}"
            warning = IngestionWarning(
                time_ms=time_ms,
                field=merge.field,
                detail=f"{merge.field}: {detail}",
                event=quote({"distinct_id": event.distinct_id, "event": event.name}),
            )
            self._warnings.add(project_id, warning)

    def _refuse_type(self, project_id: int, group_type: str, time_ms: int) -> None:
        """Count every refusal, but keep one sample of each type: every event may bring one."""
        GROUP_TYPES_REFUSED.inc()
        if (project_id, group_type) in self._refused_types:
            return
        self._refused_types[project_id, group_type] = None
        if len(self._refused_types) > _MAX_REFUSED_TYPES:
            del self._refused_types[next(iter(self._refused_types))]
        detail = f"groups: expected at most {MAX_TYPES} group types, got another: {group_type!r}"
        warning = IngestionWarning(time_ms=time_ms, field="groups", detail=detail, event="")
        self._warnings.add(project_id, warning)
