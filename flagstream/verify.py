"""``flagstream verify``: the log folded anew and compared with tables and views."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
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
from flagstream.transport.store import stored_states
from flagstream.views import ViewStore


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
    Compare, for every table, its changelog with the log's fold, with the table and with the views.

    The server has to be stopped. What retention has deleted of a source cannot be folded any more;
    then only what is left is folded, onto the states: that must change nothing.

    Raises:
        LogError: The log cannot be opened, or a server holds it.
    """
    return asyncio.run(_verify(settings))


async def _verify(settings: Settings) -> Report:
    report = Report()
    async with opened(settings) as log:
        views = ViewStore(settings.data_dir / "views")
        try:
            for table in Table:
                await _verify_table(table, settings, log, views, report)
        finally:
            views.close()
    return report


async def _verify_table(
    table: Table, settings: Settings, log: OpenLog, views: ViewStore, report: Report
) -> None:
    states = {r.key: r.value async for r in scan(log.reader, table.changelog)}
    changelog = {key: state for key, state in states.items() if state is not None}
    source = [record async for record in scan(log.reader, table.source)]
    # A killed server folds the rest when it starts again.
    places = {TopicPartition(record.topic, record.partition) for record in source}
    committed = await log.reader.committed(places)
    pending = {
        record.key
        for record in source
        if record.offset >= committed.get(TopicPartition(record.topic, record.partition), 0)
    }
    base = {} if _is_whole(source) else changelog
    compared: dict[str, Mapping[bytes, bytes]] = {
        "the fold of the log": _folded(table, source, log, base),
        "the log folded once more": _folded(table, source, log, changelog),
        "the table": dict(stored_states(settings.data_dir / "tables", table.value)),
        "the view": dict(views.states(table)),
    }
    for name, found in compared.items():
        for key in sorted((changelog.keys() | found.keys()) - pending):
            if changelog.get(key) != found.get(key):
                report.differences.append(f"{table.value} {key!r}: {name} and the changelog")
    report.lines.append(
        f"{table.value}: {len(changelog)} states, {len(source)} records in the log, "
        f"{len(pending)} keys not folded yet"
    )


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
