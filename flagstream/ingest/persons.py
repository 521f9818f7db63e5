"""What an event becomes for the person behind its distinct id."""

from collections.abc import Mapping
from typing import Any

from flagstream.state.persons import PersonState, PersonUpdate, fold_person
from flagstream.topics import Topic
from flagstream.wire import PersonChange

from .batch import Batch
from .equality import holds
from .in_flight import Mark

_MAX_MERGES = 16
_NOTHING: Mapping[str, Any] = {}


def plan_person_change(
    batch: Batch, distinct_id: str, change: PersonChange, uuid: str, time_ms: int
) -> None:
    """Plan what a person becomes, and a merge with another."""
    root = _root(batch, distinct_id)
    merged = None if change.merge is None else _merged(batch, change.merge, root)
    set_once = change.set_once
    if merged is not None:
        # What the merged person has goes before the event's, and after what the target has.
        set_once = {**set_once, **_properties(batch, merged)}
        _send(batch, merged, PersonUpdate(time_ms=time_ms, uuid=uuid, into=root))
    update = PersonUpdate(
        time_ms=time_ms,
        uuid=uuid,
        set=dict(change.set),
        set_once=dict(set_once),
        unset=list(change.unset),
        merged=merged,
        is_identified=change.merge is not None,
    )
    if not _is_known(batch, root, update):
        _send(batch, root, update)


def _merged(batch: Batch, other_id: str, root: str) -> str | None:
    """Read the person that is to be merged; None where that is done, or forbidden."""
    other = _root(batch, other_id)
    if other == root or _is_identified(batch, other):
        return None
    return other


def _root(batch: Batch, distinct_id: str) -> str:
    """Follow merges, also those that the view does not show yet."""
    root = distinct_id
    for _ in range(_MAX_MERGES):
        person = batch.view.person(batch.project_id, root)
        root = root if person is None else person.distinct_id
        coming = _coming(batch, root)
        if coming is None or coming.into is None:
            break
        root = coming.into[0]
    return root


def _coming(batch: Batch, root: str) -> PersonState | None:
    flight = batch.flight(_mark(batch, root))
    return None if flight is None else flight.person


def _mark(batch: Batch, root: str) -> Mark:
    return Mark(Topic.PERSON_UPDATES, batch.key(root))


def _is_identified(batch: Batch, root: str) -> bool:
    person, coming = batch.view.person(batch.project_id, root), _coming(batch, root)
    return bool((person and person.is_identified) or (coming and coming.is_identified))


def _properties(batch: Batch, root: str) -> Mapping[str, Any]:
    """Read a person's properties, also those that the view does not show yet."""
    person, coming = batch.view.person(batch.project_id, root), _coming(batch, root)
    known = _NOTHING if person is None else person.properties
    if coming is None:
        return known
    written = coming.values()
    properties = {**written, **known}
    for name in coming.properties:
        if name in written:
            properties[name] = written[name]
        else:
            properties.pop(name, None)
    return properties


def _is_known(batch: Batch, root: str, update: PersonUpdate) -> bool:
    """Tell whether the view shows all that an update would bring."""
    if update.merged is not None or batch.flight(_mark(batch, root)) is not None:
        return False
    person = batch.view.person(batch.project_id, root)
    if person is None or (update.is_identified and not person.is_identified):
        return False
    return holds(person.properties, update)


def _send(batch: Batch, root: str, update: PersonUpdate) -> None:
    mark = _mark(batch, root)
    flight = batch.add(mark, mark.key, update)
    version = 0 if flight.person is None else flight.person.version + 1
    flight.person = fold_person(flight.person, update, version)
