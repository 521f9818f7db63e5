"""Which records the events of a request become."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flagstream.errors import InvalidEventError
from flagstream.ports import SeenEvents
from flagstream.state.events import EventRecord
from flagstream.state.sessions import SessionUpdate
from flagstream.wire import (
    Captured,
    CapturedEvent,
    GroupChange,
    Merge,
    PersonChange,
    Rejection,
    rejection,
)

from .batch import Batch
from .groups import GroupTypes, plan_first_sights, plan_group_change
from .persons import FirstSights, plan_person_change
from .retries import Outcome, Retries
from .sessions import SessionMaps

_MAX_EVENT_BYTES = 900_000


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
        refused_merges: With the events that are kept, but make no one person of two.
        maps: The latest map of each session and distinct id.
    """

    batch: Batch
    outcome: Outcome
    uuids: list[str] = field(default_factory=list)
    repeats: int = 0
    repeated: set[Outcome] = field(default_factory=set)
    rejections: list[Rejection] = field(default_factory=list)
    refused_merges: list[tuple[CapturedEvent, Merge]] = field(default_factory=list)
    maps: dict[tuple[str, str], SessionUpdate] = field(default_factory=dict)


class Planner:
    """
    Plans records without I/O, reading only the views.

    Only changes of state are sent, as folding one costs more than all the rest of an event. An
    update is left out if the view shows just what it would bring, and nothing that could change
    that is in flight.
    """

    def __init__(self, seen: SeenEvents, refuse_type: Callable[[int, str, int], None]) -> None:
        self._seen = seen
        self._group_types = GroupTypes(refuse_type)
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
            except InvalidEventError as error:
                sent = {"uuid": event.uuid, "event": event.name}
                plan.rejections.append(rejection(index, sent, error))
        self._session_maps.plan(plan.batch, plan.maps)

    def plan_group(
        self, batch: Batch, change: GroupChange, time_ms: int, uuid: str | None = None
    ) -> bool:
        """
        Plan a change of a group; False where its type comes too late.

        Args:
            uuid: Of the event that says so, where it is one.

        Raises:
            OverloadedError: Too many changes are in flight.
        """
        is_accepted = self._group_types.is_accepted(batch, change.group_type, time_ms)
        if is_accepted:
            plan_group_change(batch, change, time_ms, uuid)
        return is_accepted

    def plan_type(self, batch: Batch, group_type: str, time_ms: int) -> bool:
        """
        Plan an index for a group type; False where it comes too late.

        Raises:
            OverloadedError: Too many changes are in flight.
        """
        return self._group_types.is_accepted(batch, group_type, time_ms)

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
        batch = plan.batch
        batch.add_event(event.distinct_id, _encode(event))
        if event.may_repeat:
            plan.uuids.append(event.uuid)
            self._retries.add(batch.project_id, event.uuid, plan.outcome)
        # A time in the future would hold its place against everything that comes until then.
        time_ms = max(0, min(event.time_ms, event.received_ms))
        if event.group is not None:
            self.plan_group(batch, event.group, time_ms, event.uuid)
        if event.groups is not None:
            self._plan_groups(plan, event, event.groups, time_ms)
        if event.person is not None:
            self._plan_person(plan, event, event.person, time_ms)
        elif event.makes_person:
            self._first_sights.plan(batch, event.distinct_id, time_ms)

    def _plan_person(
        self, plan: Plan, event: CapturedEvent, change: PersonChange, time_ms: int
    ) -> None:
        refused = plan_person_change(plan.batch, event.distinct_id, change, event.uuid, time_ms)
        if refused is not None:
            plan.refused_merges.append((event, refused))

    def _plan_groups(
        self, plan: Plan, event: CapturedEvent, named: Mapping[str, str], time_ms: int
    ) -> None:
        batch = plan.batch
        groups = {
            group_type: key
            for group_type, key in named.items()
            if self._group_types.is_accepted(batch, group_type, time_ms)
        }
        plan_first_sights(batch, groups, time_ms)
        if event.session_id is None or not batch.snapshot.settings.remember_active_groups:
            return
        known = plan.maps.get((event.session_id, event.distinct_id))
        if known is None or known.time_ms <= time_ms:
            plan.maps[event.session_id, event.distinct_id] = SessionUpdate(
                time_ms=time_ms, distinct_id=event.distinct_id, groups=groups
            )


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
    value = EventRecord(
        uuid=event.uuid,
        event=event.name,
        distinct_id=event.distinct_id,
        time_ms=event.time_ms,
        received_ms=event.received_ms,
        session_id=event.session_id,
        groups=dict(event.groups or {}),
        properties=dict(event.properties),
    ).to_bytes()
    if len(value) > _MAX_EVENT_BYTES:
        raise InvalidEventError("event", f"at most {_MAX_EVENT_BYTES} bytes", len(value))
    return value
