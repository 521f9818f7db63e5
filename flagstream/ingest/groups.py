"""What an event becomes for group types and groups."""

from collections.abc import Mapping

from flagstream.errors import quote
from flagstream.state.group_types import MAX_TYPES, GroupTypeClaim
from flagstream.state.groups import GroupUpdate
from flagstream.topics import Topic
from flagstream.warning_kinds import WarningKind
from flagstream.wire import EventLimits, GroupChange, Loss

from .batch import Batch
from .equality import holds
from .in_flight import Mark
from .room import Stored, fitting


class GroupTypes:
    """Knows which types of a project have an index, or are about to get one."""

    def __init__(self) -> None:
        self._claimed: dict[int, set[str]] = {}

    def is_accepted(self, batch: Batch, group_type: str, time_ms: int) -> bool:
        """Tell whether state is written for a type; claim an index for one that is new."""
        known = batch.snapshot.group_types
        if known.index_of(group_type) is not None:
            return True
        key = batch.key()
        mark = Mark(Topic.GROUP_TYPE_CLAIMS, key, group_type)
        if batch.is_coming(mark):
            return True
        claimed = self._still_claimed(batch, key)
        if group_type not in claimed and len(known.types) + len(claimed) >= MAX_TYPES:
            return False
        batch.add(mark, key, GroupTypeClaim(group_type=group_type, time_ms=time_ms))
        claimed.add(group_type)
        return True

    def _still_claimed(self, batch: Batch, key: bytes) -> set[str]:
        claimed = {
            group_type
            for group_type in self._claimed.get(batch.project_id, ())
            if batch.snapshot.group_types.index_of(group_type) is None
            and batch.flight(Mark(Topic.GROUP_TYPE_CLAIMS, key, group_type)) is not None
        }
        self._claimed[batch.project_id] = claimed
        return claimed


def refused_type(group_type: str) -> Loss:
    """Describe a type that came when all indexes were given."""
    expected, got = f"at most {MAX_TYPES} group types", f"another: {quote(group_type)}"
    return Loss(WarningKind.GROUP_TYPE_REFUSED, "groups", expected, got)


def plan_group_change(
    batch: Batch,
    change: GroupChange,
    time_ms: int,
    limits: EventLimits,
    uuid: str | None,
) -> Loss | None:
    """
    Plan what a group's properties become.

    Returns:
        What of an event's change is left out, as the group has no room for it. A change without an
        event (*uuid* is None) is then left out as a whole.
    """
    key = batch.key(change.group_type, change.group_key)
    mark = Mark(Topic.GROUP_UPDATES, key)
    if batch.flight(mark) is None:
        known = batch.view.group_properties(batch.project_id, change.group_type, change.group_key)
        if known is not None and holds(known, change):
            return None
    set_, set_once, loss = fitting(_stored(batch, change), change.set, change.set_once, limits)
    if loss is not None and uuid is None:
        return loss
    update = GroupUpdate(
        time_ms=time_ms,
        uuid=uuid,
        set=dict(set_),
        set_once=dict(set_once),
        unset=list(change.unset),
    )
    batch.add(mark, key, update)
    return loss


def _stored(batch: Batch, change: GroupChange) -> Stored:
    place = (batch.project_id, change.group_type, change.group_key)
    state, properties = batch.view.group(*place), batch.view.group_properties(*place)
    names = 0 if state is None else len(state.properties.keys() | state.once.keys())
    return Stored(
        properties=properties or {},
        names=names,
        kind=WarningKind.GROUP_TOO_LARGE,
        field="properties.$group_set",
    )


def plan_first_sights(batch: Batch, groups: Mapping[str, str], time_ms: int) -> None:
    """Plan the groups that were never seen before."""
    for group_type, group_key in groups.items():
        if batch.view.group(batch.project_id, group_type, group_key) is not None:
            continue
        key = batch.key(group_type, group_key)
        mark = Mark(Topic.GROUP_UPDATES, key)
        if not batch.is_coming(mark):
            batch.add(mark, key, GroupUpdate(time_ms=time_ms))
