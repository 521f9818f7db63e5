"""``flagstream verify``: the log folded anew and compared with tables and views."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from flagstream.agents.folding import fold
from flagstream.agents.guard import guard
from flagstream.ports import LogRecord, TopicPartition
from flagstream.scan import scan
from flagstream.settings import Settings
from flagstream.state.merge import REDUCERS
from flagstream.topics import Table, version_of
from flagstream.transport.opening import OpenLog, opened
from flagstream.transport.store import Copy, stored_states
from flagstream.views import ViewStore, kept_options, kept_path, kept_states, open_store


@dataclass(slots=True)
class Report:
    """
    What was compared.

    Attributes:
        lines: What was looked at, for people.
        differences: One line for each state that differs; empty means that all agree.
    """

    lines: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def verify(settings: Settings) -> Report:
    """
    Compare, for every table, its changelog with the log's fold, with the table and with the views;
    and what is kept of how groups were with their states.

    The server has to be stopped; of several on Kafka only what this one holds is looked at. What
    retention has deleted of a source cannot be folded any more; then only what is left is folded,
    onto the states: that must change nothing.

    Raises:
        LogError: The log cannot be opened, or a server holds it.
    """
    return asyncio.run(_verify(settings))


async def _verify(settings: Settings) -> Report:
    report = Report()
    async with opened(settings) as log:
        views = await open_store(settings) if settings.role != "worker" else None
        try:
            for table in Table:
                await _verify_table(table, settings, log, views, report)
        finally:
            if views is not None:
                views.close()
    return report


async def _verify_table(
    table: Table, settings: Settings, log: OpenLog, views: ViewStore | None, report: Report
) -> None:
    changes = [record async for record in scan(log.reader, table.changelog)]
    changelog = {key: state for key, state in _joined(table, changes).items() if state is not None}
    source = [record async for record in scan(log.reader, table.source)]
    # A killed server folds the rest when it starts again.
    pending = await _pending(source, log)
    # States of an older epoch are older than all that is in the source.
    is_first = log.epoch(table.source.value) == 0
    base = {} if is_first and _is_whole(source) else changelog
    last = {record.key: record.value for record in changes}
    compared = {
        "the last record": {key: state for key, state in last.items() if state is not None},
        "the fold of the log": _folded(table, source, log, base),
        "the log folded once more": _folded(table, source, log, changelog),
    }
    for name, found in compared.items():
        for key in sorted((changelog.keys() | found.keys()) - pending):
            if changelog.get(key) != found.get(key):
                report.differences.append(f"{table.value} {key!r}: {name} and the changelog")
    copies = list(stored_states(settings.data_dir / "tables", table.value))
    if views is not None:
        copies.append(_viewed(table, views))
    for copy in copies:
        for key in sorted(_wrong(table, copy, changes)):
            report.differences.append(f"{table.value} {key!r}: {copy.name} and the changelog")
    if table is Table.GROUPS:
        _verify_history(settings, changelog, pending, report)
    report.lines.append(
        f"{table.value}: {len(changelog)} states, {len(source)} records in the log, "
        f"{len(pending)} keys not folded yet"
    )


def _verify_history(
    settings: Settings, changelog: Mapping[bytes, bytes], pending: set[bytes], report: Report
) -> None:
    """
    Check that the kept history of groups says nothing that their states do not.

    That it lacks nothing cannot be told for what the log has forgotten, and is not compared.
    """
    path = kept_path(settings)
    if settings.role == "worker" or not path.exists():
        return
    store, join = ViewStore(path, kept_options), REDUCERS[Table.GROUPS].join
    try:
        count = 0
        for key, kept in kept_states(store):
            count += 1
            state = changelog.get(key)
            if key not in pending and (state is None or join(state, kept) != state):
                report.differences.append(f"groups {key!r}: the kept history and the changelog")
    finally:
        store.close()
    report.lines.append(f"history of groups: {count} groups")


def _joined(table: Table, changes: Iterable[LogRecord]) -> dict[bytes, bytes | None]:
    """Join changelog records, as everybody does who reads them; None is deleted."""
    join = REDUCERS[table].join
    states: dict[bytes, bytes | None] = {}
    for record in changes:
        before, state = states.get(record.key), record.value
        states[record.key] = None if state is None else join(before, state)
    return states


def _viewed(table: Table, views: ViewStore) -> Copy:
    positions = views.positions().items()
    ends = {place.partition: end for place, end in positions if place.topic == table.changelog}
    return Copy("the view", ends, dict(views.states(table)))


def _wrong(table: Table, copy: Copy, changes: Sequence[LogRecord]) -> Iterator[bytes]:
    """
    Yield the keys whose states are not those of the changelog.

    A copy may be behind: a worker's table of a partition that has gone to another one, a view that
    was stopped earlier. It may hold more than it claims, but nothing that the changelog has not.
    """
    join = REDUCERS[table].join
    of_copy = [record for record in changes if record.partition in copy.ends]
    claimed = _joined(table, (r for r in of_copy if r.offset < copy.ends[r.partition]))
    latest = _joined(table, of_copy)
    for key in claimed.keys() | copy.states.keys():
        state, least, most = copy.states.get(key), claimed.get(key), latest.get(key)
        if state in (least, most):
            continue
        is_known = state is not None and most is not None and join(most, state) == most
        if not is_known or (least is not None and join(state, least) != state):
            yield key


async def _pending(source: Sequence[LogRecord], log: OpenLog) -> set[bytes]:
    places = {TopicPartition(record.topic, record.partition) for record in source}
    committed = await log.reader.committed(places)
    return {
        record.key
        for record in source
        if record.offset >= committed.get(TopicPartition(record.topic, record.partition), 0)
    }


def _folded(
    table: Table, source: Sequence[LogRecord], log: OpenLog, base: Mapping[bytes, bytes]
) -> Mapping[bytes, bytes]:
    states = dict(base)
    epoch = log.epoch(table.source.value)
    for key, value, offset in ((record.key, record.value, record.offset) for record in source):
        version = version_of(epoch, offset)
        outcome = guard(partial(fold, REDUCERS[table], states.get(key), key, value, version))
        if outcome.state is not None:
            states[key] = outcome.state
        elif outcome.dead is None:
            states.pop(key, None)
    return states


def _is_whole(source: Sequence[LogRecord]) -> bool:
    """Tell whether neither retention nor compaction has removed a record."""
    following = Counter[int]()
    for record in source:
        if record.offset != following[record.partition]:
            return False
        following[record.partition] += 1
    return True
