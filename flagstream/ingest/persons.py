"""What an event becomes for the person behind its distinct id."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from msgspec import structs

from flagstream.state.identity import path_to_root
from flagstream.state.persons import PersonUpdate
from flagstream.topics import Topic
from flagstream.warning_kinds import WarningKind
from flagstream.wire import CapturedEvent, EventLimits, Loss, Merge, MergeRule, PersonChange

from .batch import Batch
from .equality import holds
from .in_flight import Mark
from .room import Stored, fitting

_MAX_SEEN = 20_000


class _Merged(NamedTuple):
    """
    What becomes of a merge.

    Attributes:
        root: Who the event is about.
        other: The person that goes into it; None where there is nothing to do.
        is_firm: Neither stood in the way of it: should another node merge *other* at the same time,
            and first, then all are one person.
        refused: The merge itself, where it would make one person of two that are identified.
    """

    root: str
    other: str | None = None
    is_firm: bool = False
    refused: Merge | None = None


class FirstSights:
    """
    Plans the persons of ids that were never seen before.

    Nobody is forgotten, so of the ids that were seen lately nothing has to be looked up.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[int, str], None] = OrderedDict()

    def plan(self, batch: Batch, distinct_id: str, time_ms: int) -> None:
        """Plan a person without properties, unless there is one."""
        seen = (batch.project_id, distinct_id)
        if seen in self._seen:
            return
        if batch.view.person(*seen) is not None:
            self._seen[seen] = None
            if len(self._seen) > _MAX_SEEN:
                self._seen.popitem(last=False)
            return
        mark = _mark(batch, distinct_id)
        if not batch.is_coming(mark):
            batch.add(mark, mark.key, PersonUpdate(time_ms=time_ms))


def plan_person_change(
    batch: Batch, event: CapturedEvent, change: PersonChange, time_ms: int, limits: EventLimits
) -> Sequence[Loss]:
    """
    Plan what a person becomes, and a merge with another.

    Returns:
        What is left out: the merge where both persons are identified, properties where the person
        has no room for them.
    """
    distinct_id, uuid = event.distinct_id, event.uuid
    root, merge = _root(batch, distinct_id), change.merge
    merged = _Merged(root) if merge is None else _merged(batch, root, merge)
    root, other, is_firm, refused = merged
    if other is not None:
        into = PersonUpdate(time_ms=time_ms, uuid=uuid, into=root, is_firm=is_firm)
        _send(batch, other, into)
    update = PersonUpdate(
        time_ms=time_ms,
        uuid=uuid,
        set=dict(change.set),
        set_once=dict(change.set_once),
        unset=list(change.unset),
        merged=other,
        is_firm=is_firm,
        is_identified=other is not None or _is_login(merge),
    )
    losses = [] if refused is None else [_refused(refused)]
    if not _is_known(batch, root, update):
        set_, set_once, loss = fitting(_stored(batch, root), change.set, change.set_once, limits)
        if loss is not None:
            losses.append(loss)
            update = structs.replace(update, set=dict(set_), set_once=dict(set_once))
        _send(batch, root, update)
    return losses


def _refused(merge: Merge) -> Loss:
    expected = "an id that was not identified"
    return Loss(WarningKind.MERGE_REFUSED, merge.field, expected, "one that was")


def _stored(batch: Batch, root: str) -> Stored:
    person = batch.view.person(batch.project_id, root)
    properties = {} if person is None else person.properties
    # What was removed is not known of persons: the agents refuse what would become too large.
    return Stored(
        properties=properties,
        names=len(properties),
        kind=WarningKind.PERSON_TOO_LARGE,
        field="properties.$set",
    )


def _is_login(merge: Merge | None) -> bool:
    return merge is not None and merge.rule is MergeRule.ANONYMOUS


def _merged(batch: Batch, root: str, merge: Merge) -> _Merged:
    other = _root(batch, merge.distinct_id)
    if other == root:
        # One half of a merge may have been lost with a failed request, of which this is the retry.
        is_done = _is_listed(batch, root, merge.distinct_id)
        return _Merged(root, None if is_done else merge.distinct_id)
    is_free, other_is_free = (not _is_identified(batch, each) for each in (root, other))
    match merge.rule:
        case MergeRule.FORCED:
            return _Merged(root, other, is_firm=True)
        case MergeRule.EITHER if other_is_free:
            return _Merged(root, other, is_firm=is_free)
        case MergeRule.EITHER if is_free:
            return _Merged(other, root)
        case MergeRule.ANONYMOUS if other_is_free:
            return _Merged(root, other)
    return _Merged(root, refused=merge)


def _root(batch: Batch, distinct_id: str) -> str:
    """Follow merges, also those that the view does not show yet."""
    if _into(batch, distinct_id) is None:
        return distinct_id
    return path_to_root(distinct_id, partial(_into, batch))[-1]


def _into(batch: Batch, distinct_id: str) -> str | None:
    person = batch.view.person(batch.project_id, distinct_id)
    if person is not None and person.distinct_id != distinct_id:
        return person.distinct_id
    coming = batch.coming_person(_mark(batch, distinct_id))
    return None if coming is None or coming.into is None else coming.into[0]


def _mark(batch: Batch, distinct_id: str) -> Mark:
    return Mark(Topic.PERSON_UPDATES, batch.key(distinct_id))


def _is_identified(batch: Batch, root: str) -> bool:
    person = batch.view.person(batch.project_id, root)
    coming = batch.coming_person(_mark(batch, root))
    return any(each is not None and each.is_identified for each in (person, coming))


def _is_listed(batch: Batch, root: str, distinct_id: str) -> bool:
    """Tell whether an id is known to be one of a person."""
    person = batch.view.person(batch.project_id, root)
    coming = batch.coming_person(_mark(batch, root))
    return (
        distinct_id == root
        or (person is not None and distinct_id in person.distinct_ids)
        or (coming is not None and distinct_id in coming.merged)
    )


def _is_known(batch: Batch, root: str, update: PersonUpdate) -> bool:
    """Tell whether the view shows all that an update would bring."""
    if update.merged is not None or batch.flight(_mark(batch, root)) is not None:
        return False
    person = batch.view.person(batch.project_id, root)
    if person is None or (update.is_identified and not person.is_identified):
        return False
    return holds(person.properties, update)


def _send(batch: Batch, distinct_id: str, update: PersonUpdate) -> None:
    mark = _mark(batch, distinct_id)
    batch.add(mark, mark.key, update)
