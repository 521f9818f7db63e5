"""From captured events to durable records."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from flagstream.ports import (
    Catalog,
    IngestionWarning,
    Position,
    Progress,
    RecordSink,
    StateView,
    Warnings,
)
from flagstream.telemetry import (
    EVENTS_ACCEPTED,
    EVENTS_REJECTED,
    EVENTS_REPEATED,
    GROUP_TYPES_REFUSED,
    MERGES_REFUSED,
)
from flagstream.warning_kinds import WarningKind
from flagstream.wire import Captured, GroupChange, Loss, Rejection

from .batch import Batch
from .in_flight import InFlight
from .planner import Plan, Planner
from .retries import settled

_COUNTERS = {
    WarningKind.GROUP_TYPE_REFUSED: GROUP_TYPES_REFUSED,
    WarningKind.MERGE_REFUSED: MERGES_REFUSED,
}


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
        refused: Why nothing is kept of some changes, by their places.
    """

    positions: Sequence[Position]
    refused: Mapping[int, Loss]


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
        planner: Planner,
    ) -> None:
        self._view = view
        self._catalog = catalog
        self._sink = sink
        self._warnings = warnings
        self._in_flight = InFlight(progress)
        self._planner = planner

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
        self._report(project_id, plan)
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

        def plan(batch: Batch) -> Mapping[int, Loss]:
            return {
                place: loss
                for place, change in enumerate(changes)
                if (loss := self._planner.plan_group(batch, change, time_ms)) is not None
            }

        return await self._append(project_id, plan)

    async def _append(
        self, project_id: int, plan: Callable[[Batch], Mapping[int, Loss]]
    ) -> ChangedGroups:
        """Append what is planned; *plan* tells what is refused of it."""
        snapshot = self._catalog.project(project_id)
        batch = Batch(project_id, self._view, snapshot, self._in_flight)
        try:
            refused = plan(batch)
            positions = await self._sink.append(batch.appends) if batch.appends else ()
        except BaseException:
            batch.fail()
            raise
        for loss in refused.values():
            self._warn(project_id, loss)
        return ChangedGroups([*batch.land(positions), *batch.visible_after], refused)

    async def add_group_type(self, project_id: int, group_type: str, time_ms: int) -> ChangedGroups:
        """
        Give a type the next index, before the first group of it is seen.

        Raises:
            LogUnavailableError: The log takes no writes now; nothing is acknowledged.
            OverloadedError: Too many changes are in flight.
        """

        def plan(batch: Batch) -> Mapping[int, Loss]:
            loss = self._planner.plan_type(batch, group_type, time_ms)
            return {} if loss is None else {0: loss}

        return await self._append(project_id, plan)

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

    def _report(self, project_id: int, plan: Plan) -> None:
        for each in plan.rejections:
            EVENTS_REJECTED.count(each.field)
            self._warn(project_id, each.loss, each.name, each.distinct_id, each.uuid)
        for event, loss in plan.losses:
            self._warn(project_id, loss, event.name, event.distinct_id, event.uuid)

    def _warn(self, project_id: int, loss: Loss, *event: str | None) -> None:
        """Count a loss; *event* has the name, the distinct id and the uuid of whose it is."""
        counter = _COUNTERS.get(loss.kind)
        if counter is not None:
            counter.inc()
        self._warnings.add(project_id, IngestionWarning(*loss, *event))
