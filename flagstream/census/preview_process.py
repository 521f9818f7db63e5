"""
A preview, in a process of its own.

Started by :class:`.previews.Previews`, which writes on its standard input what is wanted. It reads
the views as a secondary instance does, beside whoever writes them, and gives way to everybody: a
thread, and slices on the event loop, would make requests wait.
"""

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import orjson

from flagstream import logs
from flagstream.flags import (
    CompiledFlags,
    Definitions,
    Evaluation,
    compile_project,
    group_requests,
    parse_project,
)
from flagstream.ports import Search
from flagstream.redaction import keep_values_out
from flagstream.settings import Settings
from flagstream.state.groups import group_reader
from flagstream.topics import Table, record_key
from flagstream.views import StoredState, ViewReader, ViewReplica
from flagstream.views.layout import range_of, table_key

from .contexts import of_person
from .preview import (
    Answered,
    Change,
    Counting,
    Named,
    PageOf,
    Preview,
    PreviewPage,
    PreviewTask,
    Refused,
    Welcome,
    lists_of,
    named,
)

_NAME = "preview"
_NICENESS = 5
_LOOK = 500  # groups between looks at the clock: some milliseconds
_PERSONS_AT_ONCE = 200
_CACHED_PERSONS = 1_000
_FITTING = "conditions about groups of one type alone, or about persons alone, now and then"
_Both = tuple[CompiledFlags | None, CompiledFlags | None]
_Walk = Iterator[Answered]


def main() -> None:
    """Answer one preview on the standard output."""
    parent = os.getppid()
    os.nice(_NICENESS)
    # It makes no cycles, and ends before they would count.
    gc.disable()
    welcome = msgspec.json.decode(sys.stdin.buffer.read(), type=Welcome)
    told = {"log_level": welcome.log_level, "log_format": welcome.log_format}
    logs.configure(Settings.model_validate(told), _NAME)
    keep_values_out()
    replica = ViewReplica(Path(welcome.views), Path(welcome.own))
    try:
        if not replica.recover():
            raise SystemExit(1)
        result = previewed(replica, welcome.task, lambda: os.getppid() == parent)
        sys.stdout.buffer.write(msgspec.json.encode(result))
    finally:
        # Whoever has started it may have been killed.
        shutil.rmtree(welcome.own, ignore_errors=True)


def previewed(
    store: ViewReader, task: PreviewTask, is_wanted: Callable[[], bool] = lambda: True
) -> Preview | PreviewPage | Refused:
    """
    Preview a change over what is stored.

    Args:
        is_wanted: Asked now and then; where it is False that is the end, as if time were up.
    """
    both = (_flags(task.change, task.change.now), _flags(task.change, task.change.then))
    types, looks_at_person = _looked_at(task.change, both)
    if len(types) > 1 or (types and looks_at_person):
        return Refused(expected=_FITTING, got="filters of others")
    end_s = monotonic() + task.timeout_s
    after = None if task.page is None else task.page.after
    group_type = next(iter(types), None)
    if group_type is None:
        walk = _persons(store, task, both, after)
    else:
        walk = _groups(store, task, group_type, both, after)

    def is_over() -> bool:
        return monotonic() > end_s or not is_wanted()

    if task.page is None:
        return _whole(walk, Counting(task.limit), group_type, is_over)
    results, next_after = _page(walk, task.page, task.limit, is_over)
    return PreviewPage(
        group_type=group_type, list=task.page.list, results=results, next_after=next_after
    )


def _flags(change: Change, row: Mapping[str, Any] | None) -> CompiledFlags | None:
    """Compile one definition of the flag, alone; None where there is none, or it is off."""
    if row is None:
        return None
    definitions = Definitions(
        flags={**change.flags, change.key: row},
        cohorts=change.cohorts,
        group_types=change.group_types,
        timezone=change.timezone,
        property_matching_version=change.property_matching_version,
    )
    project = compile_project(parse_project(definitions))
    return CompiledFlags.of(project.alone(change.key)) if change.key in project.by_key else None


def _looked_at(change: Change, both: _Both) -> tuple[set[str], bool]:
    """Tell the types whose groups either definition is about, and whether one is about persons."""
    flags = [each for each in both if each is not None]
    types = {name for each in flags for name in each.group_types}
    looks_at_person = any(each.looks_at_person for each in flags)
    if not types and not looks_at_person and change.group_type is not None:
        types = {change.group_type}
    return types, looks_at_person


def _groups(
    store: ViewReader, task: PreviewTask, group_type: str, both: _Both, after: str | None
) -> _Walk:
    now, then = (_nowhere if each is None else each.only_rule() for each in both)
    names = {name for each in both if each for name in each.group_names.get(group_type, ())}
    # Both ask the same request: what either notes in it the other would note as well.
    make = group_requests(task.change.group_types[group_type], task.now_ms, names)
    values, place = group_reader(names), (task.project_id, group_type)
    start, stop = range_of(Table.GROUPS, *place)
    head = len(start)
    if after is not None:
        start = table_key(Table.GROUPS, record_key(*place, after)) + b"\0"
    for key, raw in store.items(start, stop):
        # What the record's key ends with; to decode all of it is a tenth of the work.
        group_key = orjson.loads(key[head:-1])
        request = make(group_key, values(raw))
        yield group_key, now(request), then(request)


def _nowhere(_: object) -> None:
    """Answer for a flag that there is not, or that is off."""


def _persons(store: ViewReader, task: PreviewTask, both: _Both, after: str | None) -> _Walk:
    state = StoredState(store, cache_entries=_CACHED_PERSONS, active_groups_ttl_days=1)

    def asked(flags: CompiledFlags | None, person: Any) -> Evaluation | None:
        if flags is None:
            return None
        return flags.answers(of_person(person, flags.person_names, task.now_ms))[0]

    while True:
        persons, after = state.persons(
            task.project_id, search=Search(""), after=after, limit=_PERSONS_AT_ONCE
        )
        for person in persons:
            yield person.distinct_id, asked(both[0], person), asked(both[1], person)
        if after is None:
            return


def _whole(
    walk: _Walk, counting: Counting, group_type: str | None, is_over: Callable[[], bool]
) -> Preview:
    for examined, answered in enumerate(walk, 1):
        counting.add(answered)
        if examined % _LOOK == 0 and is_over():
            return counting.preview(group_type, is_complete=False)
    return counting.preview(group_type, is_complete=True)


def _page(
    walk: _Walk, page: PageOf, limit: int, is_over: Callable[[], bool]
) -> tuple[list[Named], str | None]:
    """Read a page, and where the next one begins."""
    found: list[Named] = []
    for examined, answered in enumerate(walk, 1):
        if page.list in lists_of(answered):
            found.append(named(answered))
        if len(found) == limit or (examined % _LOOK == 0 and is_over()):
            return found, answered[0]
    return found, None


if __name__ == "__main__":
    main()
