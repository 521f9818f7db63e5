"""Which records the events of a request become."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flagstream.errors import InvalidFieldError
from flagstream.ports import SeenEvents
from flagstream.state.events import EventRecord
from flagstream.state.sessions import SessionUpdate
from flagstream.warning_kinds import WarningKind
from flagstream.wire import (
    Captured,
    CapturedEvent,
    EventLimits,
    GroupChange,
    Loss,
    OverLimitError,
    Rejection,
    brackets,
    flattened,
    rejection,
)

from .batch import Batch
from .groups import GroupTypes, plan_first_sights, plan_group_change, refused_type
from .persons import FirstSights, plan_person_change
from .retries import Outcome, Retries
from .sessions import SessionMaps

# An event's record is an object with one of properties.
_BRACKETS_AROUND = 2


@dataclass(slots=True, kw_only=True)
class Plan:
    """
    What became of the events of a request.

    Attributes:
        outcome: Of the request, once it is settled.
        uuids: Of the events that are new and may come again.
        repeats: How many of its events came before.
        repeated: Outcomes of the requests that some of these came with.
        rejections: Of the events of which nothing is kept.
        losses: What is cut, or left out, of events that are kept.
        maps: The latest map of each session and distinct id.
    """

    batch: Batch
    outcome: Outcome
    uuids: list[str] = field(default_factory=list)
    repeats: int = 0
    repeated: set[Outcome] = field(default_factory=set)
    rejections: list[Rejection] = field(default_factory=list)
    losses: list[tuple[CapturedEvent, Loss]] = field(default_factory=list)
    maps: dict[tuple[str, str], SessionUpdate] = field(default_factory=dict)


class Planner:
    """
    Plans records without I/O, reading only the views.

    Only changes of state are sent, as folding one costs more than all the rest of an event. An
    update is left out if the view shows just what it would bring, and nothing that could change
    that is in flight.
    """

    def __init__(self, seen: SeenEvents, limits: EventLimits) -> None:
        self._seen = seen
        self._limits = limits
        self._most_brackets = limits.property_depth + _BRACKETS_AROUND
        self._group_types = GroupTypes()
        self._session_maps = SessionMaps()
        self._first_sights = FirstSights()
        self._retries = Retries()

    def plan(self, plan: Plan, captured: Captured) -> None:
        """
        Fill *plan*.

        Raises:
            OverloadedError: Too many changes are in flight.
        """
        plan.rejections.extend(captured.rejections)
        for index, event in captured.events:
            if self._is_retry(plan, event):
                plan.repeats += 1
                continue
            try:
                self._plan_event(plan, event)
            except InvalidFieldError as error:
                sent = {
                    "uuid": event.uuid,
                    "event": event.name,
                    "distinct_id": event.distinct_id,
                }
                plan.rejections.append(rejection(index, sent, error))
        self._session_maps.plan(plan.batch, plan.maps)

    def plan_group(
        self, batch: Batch, change: GroupChange, time_ms: int, uuid: str | None = None
    ) -> Loss | None:
        """
        Plan a change of a group.

        Args:
            uuid: Of the event that says so, where it is one.

        Returns:
            What is left out: all where the type comes too late.

        Raises:
            OverloadedError: Too many changes are in flight.
        """
        if not self._group_types.is_accepted(batch, change.group_type, time_ms):
            return refused_type(change.group_type)
        return plan_group_change(batch, change, time_ms, self._limits, uuid)

    def plan_type(self, batch: Batch, group_type: str, time_ms: int) -> Loss | None:
        """
        Plan an index for a group type.

        Returns:
            Why there is none: it comes too late.

        Raises:
            OverloadedError: Too many changes are in flight.
        """
        is_accepted = self._group_types.is_accepted(batch, group_type, time_ms)
        return None if is_accepted else refused_type(group_type)

    def abandon(self, plan: Plan) -> None:
        """Take a plan back whose records were not appended for certain."""
        plan.batch.fail()
        self._retries.forget(plan.batch.project_id, plan.uuids, plan.outcome)

    def _is_retry(self, plan: Plan, event: CapturedEvent) -> bool:
        if not event.may_repeat:
            return False
        outcome = self._retries.get(plan.batch.project_id, event.uuid)
        if outcome is None:
            project_id = plan.batch.project_id
            return _is_folded(plan.batch, event) or self._seen.has(project_id, event.uuid)
        if outcome is not plan.outcome:
            plan.repeated.add(outcome)
        return True

    def _plan_event(self, plan: Plan, event: CapturedEvent) -> None:
        batch, value = plan.batch, _encode(event)
        # As many brackets are needed to be too deep: spares nearly all events the walk.
        if brackets(value) > self._most_brackets or len(value) > self._limits.event_bytes:
            event, value = self._bounded(event, value)
        batch.add_event(event.distinct_id, value)
        losses = [*event.losses]
        if event.may_repeat:
            plan.uuids.append(event.uuid)
            self._retries.add(batch.project_id, event.uuid, plan.outcome)
        # A time in the future would hold its place against everything that comes until then.
        time_ms = max(0, min(event.time_ms, event.received_ms))
        if event.group is not None:
            loss = self.plan_group(batch, event.group, time_ms, event.uuid)
            if loss is not None:
                losses.append(loss)
        if event.groups is not None:
            losses += self._plan_groups(plan, event, event.groups, time_ms)
        if event.person is not None:
            losses += plan_person_change(batch, event, event.person, time_ms, self._limits)
        elif event.makes_person:
            self._first_sights.plan(batch, event.distinct_id, time_ms)
        plan.losses += [(event, loss) for loss in losses]

    def _bounded(self, event: CapturedEvent, value: bytes) -> tuple[CapturedEvent, bytes]:
        """
        Remove what is nested too deep.

        Raises:
            OverLimitError: It is too large.
        """
        limits = self._limits
        flat = flattened(event, limits.property_depth)
        if flat is not event:
            event, value = flat, _encode(flat)
        if len(value) > limits.event_bytes:
            expected, got = f"at most {limits.event_bytes} bytes", f"{len(value)} bytes"
            raise OverLimitError(Loss(WarningKind.EVENT_TOO_LARGE, "event", expected, got))
        return event, value

    def _plan_groups(
        self, plan: Plan, event: CapturedEvent, named: Mapping[str, str], time_ms: int
    ) -> Sequence[Loss]:
        batch = plan.batch
        groups: dict[str, str] = {}
        losses: list[Loss] = []
        for group_type, key in named.items():
            if self._group_types.is_accepted(batch, group_type, time_ms):
                groups[group_type] = key
            else:
                losses.append(refused_type(group_type))
        plan_first_sights(batch, groups, time_ms)
        if event.session_id is None or not batch.snapshot.settings.remember_active_groups:
            return losses
        known = plan.maps.get((event.session_id, event.distinct_id))
        if known is None or known.time_ms <= time_ms:
            plan.maps[event.session_id, event.distinct_id] = SessionUpdate(
                time_ms=time_ms, distinct_id=event.distinct_id, groups=groups
            )
        return losses


def _is_folded(batch: Batch, event: CapturedEvent) -> bool:
    """Tell whether the state knows the event: this holds over restarts, for hours."""
    if event.group is not None:
        change = event.group
        group = batch.view.group(batch.project_id, change.group_type, change.group_key)
        if group is not None and event.uuid in group.recent:
            return True
    if event.person is not None:
        person = batch.view.person(batch.project_id, event.distinct_id)
        return person is not None and event.uuid in person.recent
    return False


def _encode(event: CapturedEvent) -> bytes:
    return EventRecord(
        uuid=event.uuid,
        event=event.name,
        distinct_id=event.distinct_id,
        time_ms=event.time_ms,
        received_ms=event.received_ms,
        session_id=event.session_id,
        groups=dict(event.groups or {}),
        properties=dict(event.properties),
    ).to_bytes()
