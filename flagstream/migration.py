"""
``flagstream topics migrate``: every key placed anew, in an epoch that wins over all before.

All records are first copied to topics beside the old ones. Only when that is complete, and said so
in the layout, are the old topics replaced; until then a repetition begins anew, from then on it
replaces again.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from flagstream.agents.folding import fold
from flagstream.agents.guard import guard
from flagstream.errors import LogLayoutError, LogLockedError, LogUnavailableError, SettingsError
from flagstream.ports import LogRecord, TopicPartition
from flagstream.scan import scan
from flagstream.settings import Settings
from flagstream.state.dead_letters import DeadLetter
from flagstream.state.merge import REDUCERS
from flagstream.topics import Table, Topic, epoch_of, partition_of, topic_specs, version_of
from flagstream.transport.kafka import BATCH_RECORDS, KafkaReader, commit, producing
from flagstream.transport.kafka_admin import Admin, administering
from flagstream.transport.kafka_connection import connection
from flagstream.transport.kafka_layout import (
    CARRIED,
    COPIED,
    META,
    Layout,
    Stage,
    beside,
    read_layout,
    write_layout,
)
from flagstream.transport.kafka_metadata import TopicState
from flagstream.transport.kafka_topics import WATCH_INTERVAL_S

# Nodes that run against the rules have ended by then.
_NOTICED_S = 3 * WATCH_INTERVAL_S
_ALL = tuple(spec.name for spec in topic_specs(1))


def migrate(settings: Settings) -> Layout:
    """
    Bring the topics to ``settings.partitions``, whatever they are.

    Everything that was acknowledged is in the new topics, folded where it was not; local tables and
    views are rebuilt at the next start. All processes have to be stopped; API nodes that still run
    end once they notice. Where it ended before it was finished, it is to be called again, and no
    process starts before.

    Returns:
        What holds from now on.

    Raises:
        SettingsError: There is no broker, or another migration has to be finished first.
        LogLockedError: A worker runs.
        LogLayoutError: Somebody wrote meanwhile.
        LogUnavailableError: The cluster does not answer.
    """
    if not settings.broker_url:
        raise SettingsError("broker_url: expected kafka://…, as the embedded log has no others")
    return asyncio.run(_migrate(settings))


async def _migrate(settings: Settings) -> Layout:
    known = await _known(settings)
    try:
        async with producing(connection(settings)) as producer:
            if known.stage in (Stage.SETTLED, Stage.COPYING):
                known = await _copy(settings, known, producer)
            if known.stage is Stage.COPIED:
                known = await _replace(settings, known, producer)
            return await _clean(settings, known, producer)
    except KafkaError as error:
        raise LogUnavailableError(f"{settings.broker_url}: {error!r}; call it again") from error


async def _known(settings: Settings) -> Layout:
    async with administering(settings) as admin:
        await _check_alone(admin)
        await admin.create([META])
    async with KafkaReader(connection(settings), META.partitions) as reader:
        known = await read_layout(reader)
    if known is None:
        return Layout(epoch=0, partitions=settings.partitions)
    if known.stage in (Stage.COPIED, Stage.REPLACED) and known.partitions != settings.partitions:
        raise SettingsError(
            f"partitions: a migration to {known.partitions} has to be finished first, "
            f"got {settings.partitions}"
        )
    return known


async def _check_alone(admin: Admin) -> None:
    if members := await admin.members():
        raise LogLockedError(
            f"{members} workers run, or were killed less than 10 s ago: stop all processes"
        )


class _OldTopics(NamedTuple):
    """
    The topics as they are, whatever their partitions.

    Attributes:
        found: Those that exist.
    """

    connected: Mapping[str, Any]
    found: Mapping[str, TopicState]

    def reader(self, topic: str) -> KafkaReader:
        return KafkaReader(self.connected, len(self.found[topic].copies))

    async def records(
        self, topic: str, starts: Mapping[TopicPartition, int] | None = None
    ) -> AsyncIterator[LogRecord]:
        if topic in self.found:
            async with self.reader(topic) as reader:
                async for record in scan(reader, topic, starts):
                    yield record

    async def ends(self, topic: str) -> Mapping[TopicPartition, int]:
        if topic not in self.found:
            return {}
        async with self.reader(topic) as reader:
            return {place: end for place, (_, end) in (await reader.bounds([topic])).items()}

    async def committed(self, topic: str) -> Mapping[TopicPartition, int]:
        async with self.reader(topic) as reader:
            return await reader.committed(await self.ends(topic))

    def is_same(self, topic: str, known: Layout) -> bool:
        return topic in self.found and self.found[topic].id == known.topics.get(topic)


class _Target:
    """Writes records to where their keys belong; :meth:`flush` waits for all."""

    def __init__(self, producer: AIOKafkaProducer, partitions: int) -> None:
        self._producer = producer
        self._partitions = partitions
        self._sent: list[asyncio.Future[Any]] = []

    async def write(
        self, topic: str, key: bytes, value: bytes | None, timestamp_ms: int | None = None
    ) -> None:
        partition = partition_of(key, self._partitions)
        sent = await self._producer.send(
            topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms
        )
        self._sent.append(sent)
        if len(self._sent) >= BATCH_RECORDS:
            await self.flush()

    async def flush(self) -> None:
        await asyncio.gather(*self._sent)
        self._sent.clear()


# -- into topics beside the old ones


async def _copy(settings: Settings, known: Layout, producer: AIOKafkaProducer) -> Layout:
    """Fill the topics beside; the layout that is returned is that of a complete copy."""
    await write_layout(producer, msgspec.structs.replace(known, stage=Stage.COPYING))
    old, noticed_s = await _make_beside(settings), monotonic() + _NOTICED_S
    before = [await old.ends(topic) for topic in _ALL]
    target = _Target(producer, settings.partitions)
    for topic in CARRIED:
        async for record in old.records(topic):
            await target.write(beside(topic), record.key, record.value, record.timestamp_ms)
    epochs = [await _copy_table(table, known, old, target) for table in Table]
    await target.flush()
    await asyncio.sleep(noticed_s - monotonic())
    async with administering(settings) as admin:
        await _check_alone(admin)
    if before != [await old.ends(topic) for topic in _ALL]:
        raise LogLayoutError("Somebody wrote meanwhile: stop all processes and call it again")
    layout = Layout(epoch=1 + max(epochs), partitions=settings.partitions, stage=Stage.COPIED)
    await write_layout(producer, layout)
    return layout


async def _make_beside(settings: Settings) -> _OldTopics:
    specs = [
        replace(spec, name=beside(spec.name))
        for spec in topic_specs(settings.partitions)
        if spec.name in COPIED
    ]
    async with administering(settings) as admin:
        found = await admin.describe(_ALL)
        admin.check_copies(found)
        await admin.delete([spec.name for spec in specs])
        await admin.create(specs)
    return _OldTopics(connection(settings), found)


async def _copy_table(table: Table, known: Layout, old: _OldTopics, target: _Target) -> int:
    """
    Copy the states of a table, with everything in them that is not folded yet.

    Returns:
        The highest epoch in them.
    """
    states = await _states(table, old)
    versions = (REDUCERS[table].version(state) for state in states.values() if state is not None)
    highest = max((epoch_of(version) for version in versions), default=0)
    epoch, starts = await _unfolded(table, known, old, highest)
    async for record in old.records(table.source, starts):
        version, before = version_of(epoch, record.offset), states.get(record.key)
        folding = partial(fold, REDUCERS[table], before, record.key, record.value, version)
        outcome = guard(folding)
        if outcome.dead is None:
            states[record.key] = outcome.state
        else:
            letter = _letter(record, outcome.dead)
            await target.write(beside(Topic.DEAD_LETTERS), letter.key, letter.to_bytes())
    for key, state in states.items():
        if state is not None:
            await target.write(beside(table.changelog), key, state)
    return max(epoch, highest)


async def _states(table: Table, old: _OldTopics) -> dict[bytes, bytes | None]:
    join = REDUCERS[table].join
    states: dict[bytes, bytes | None] = {}
    async for record in old.records(table.changelog):
        before, state = states.get(record.key), record.value
        states[record.key] = None if state is None else join(before, state)
    return states


async def _unfolded(
    table: Table, known: Layout, old: _OldTopics, highest: int
) -> tuple[int, Mapping[TopicPartition, int]]:
    """
    Find what has to be folded.

    Returns:
        The epoch of the offsets in the source, and where to begin. A source that is not the one
        that the states follow from is folded whole, above all of them: of what it has in common
        with it, the order is the same.
    """
    if not old.is_same(table.source, known):
        return 1 + max(known.epoch, highest), {}
    ends, committed = await old.ends(table.source), await old.committed(table.source)
    if any(offset > ends[place] for place, offset in committed.items()):
        return 1 + max(known.epoch, highest), {}
    return known.epoch, committed if old.is_same(table.changelog, known) else {}


def _letter(record: LogRecord, reason: str) -> DeadLetter:
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        reason=reason,
        key=record.key,
        value=record.value,
    )


# -- in the place of the old ones


async def _replace(settings: Settings, copied: Layout, producer: AIOKafkaProducer) -> Layout:
    """Make the topics anew and fill them with the copy."""
    connected = connection(settings)
    async with administering(settings) as admin:
        await admin.delete(_ALL)
        made = await admin.create(tuple(topic_specs(settings.partitions)))
    target = _Target(producer, settings.partitions)
    async with KafkaReader(connected, settings.partitions) as reader:
        for topic in COPIED:
            async for record in scan(reader, beside(topic)):
                await target.write(topic, record.key, record.value, record.timestamp_ms)
        await target.flush()
        begins = dict.fromkeys(await reader.bounds([table.source for table in Table]), 0)
    await commit(connected, begins)
    ids = {name: topic.id for name, topic in made.items()}
    layout = msgspec.structs.replace(copied, topics=ids, stage=Stage.REPLACED)
    await write_layout(producer, layout)
    return layout


async def _clean(settings: Settings, replaced: Layout, producer: AIOKafkaProducer) -> Layout:
    """Drop the copy; only then may nodes start, which take it for the mark of a migration."""
    async with administering(settings) as admin:
        await admin.delete([beside(topic) for topic in COPIED])
    layout = msgspec.structs.replace(replaced, stage=Stage.SETTLED)
    await write_layout(producer, layout)
    return layout
