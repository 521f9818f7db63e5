"""What an event becomes for group types and groups."""

from collections.abc import Callable, Mapping

from flagstream.state.group_types import MAX_TYPES, GroupTypeClaim
from flagstream.state.groups import GroupUpdate
from flagstream.topics import Topic
from flagstream.wire import GroupChange

from .batch import Batch
from .equality import holds
from .in_flight import Mark


class GroupTypes:
    """
    Knows which types of a project have an index, or are about to get one.

    Args:
        refuse: Called with the project's id, a type that comes too late, and the time.
    """

    def __init__(self, refuse: Callable[[int, str, int], None]) -> None:
        self._refuse = refuse
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
            self._refuse(batch.project_id, group_type, time_ms)
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


def plan_group_change(batch: Batch, change: GroupChange, time_ms: int, uuid: str | None) -> None:
    """Plan what a group's properties become."""
    key = batch.key(change.group_type, change.group_key)
    mark = Mark(Topic.GROUP_UPDATES, key)
    if batch.flight(mark) is None:
        known = batch.view.group_properties(batch.project_id, change.group_type, change.group_key)
        if known is not None and holds(known, change):
            return
    update = GroupUpdate(
        time_ms=time_ms,
        uuid=uuid,
        set=dict(change.set),
        set_once=dict(change.set_once),
        unset=list(change.unset),
    )
    batch.add(mark, key, update)


def plan_first_sights(batch: Batch, groups: Mapping[str, str], time_ms: int) -> None:
    """Plan the groups that were never seen before."""
    for group_type, group_key in groups.items():
        if batch.view.group(batch.project_id, group_type, group_key) is not None:
            continue
        key = batch.key(group_type, group_key)
        mark = Mark(Topic.GROUP_UPDATES, key)
        if not batch.is_coming(mark):
            batch.add(mark, key, GroupUpdate(time_ms=time_ms))
