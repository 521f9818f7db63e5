"""Topics on Kafka: made at the start where they are missing, refused where states would be lost."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

import msgspec
from aiokafka.errors import KafkaError

from flagstream.errors import LogLayoutError, SettingsError
from flagstream.ports import TopicPartition
from flagstream.settings import Settings
from flagstream.topics import Table, topic_specs

from .kafka import KafkaReader, producing
from .kafka_admin import Admin, administering
from .kafka_connection import connection
from .kafka_layout import COPIED, META, Layout, Stage, beside, read_layout, write_layout
from .kafka_metadata import TopicState

WATCH_INTERVAL_S = 2.0
_REPAIR = "stop all processes and call 'flagstream topics migrate'"


async def create_topics(settings: Settings) -> Layout:
    """
    Create the topics that are missing; return once each has a leader for every partition.

    Faust would make its changelogs itself, while its group starts, and then hang.

    Returns:
        What holds for every process until all are stopped.

    Raises:
        SettingsError: A topic of the cluster has other partitions, another number of copies or
            another cleanup policy.
        LogLayoutError: A topic is not the one that the states follow from, or has lost its end.
        LogUnavailableError: The cluster does not answer, or refuses to create a topic.
    """
    connected = connection(settings)
    async with (
        administering(settings) as admin,
        KafkaReader(connected, settings.partitions) as reader,
    ):
        await admin.create([META])
        known = await read_layout(reader)
        _check_settled(known, settings)
        found = await admin.create(tuple(topic_specs(settings.partitions)))
        # In this order: commits only grow towards the ends, and whoever has written the first
        # records wrote their layout before.
        committed = await reader.committed(_sources(settings))
        bounds = await reader.bounds(list(found))
        known = known or await read_layout(reader)
        _check_settled(known, settings)
        _check_new(known, bounds)
        _check_ends(bounds, committed)
        layout = _extended(known, found, settings)
        _check_ids(layout, found)
        if layout != known:
            async with producing(connected) as producer:
                await write_layout(producer, layout)
    return layout


async def watch_topics(admin: Admin, layout: Layout) -> None:
    """
    Look every :data:`WATCH_INTERVAL_S` whether the topics are still those of *layout*.

    What is folded until somebody looks loses nothing for good: a migration folds it again.

    Raises:
        LogLayoutError: They are not, or a migration has begun.
    """
    copies = [beside(topic) for topic in COPIED]
    while True:
        await asyncio.sleep(WATCH_INTERVAL_S)
        # A broker that is gone is noticed by everybody else.
        with suppress(KafkaError):
            found = await admin.describe([*layout.topics, *copies])
            if not found.keys().isdisjoint(copies):
                raise LogLayoutError("A migration of the topics has begun")
            _check_ids(layout, found)


def _sources(settings: Settings) -> Sequence[TopicPartition]:
    return [
        TopicPartition(table.source.value, partition)
        for table in Table
        for partition in range(settings.partitions)
    ]


def _check_settled(layout: Layout | None, settings: Settings) -> None:
    if layout is None:
        return
    if layout.stage is not Stage.SETTLED:
        raise LogLayoutError(f"A migration of the topics was not finished: {_REPAIR} again")
    if layout.partitions != settings.partitions:
        raise SettingsError(
            f"partitions: keys are placed by {layout.partitions}, got {settings.partitions}; "
            f"to change it {_REPAIR}"
        )


def _extended(known: Layout | None, found: Mapping[str, TopicState], settings: Settings) -> Layout:
    ids = {name: topic.id for name, topic in found.items()}
    if known is None:
        return Layout(epoch=0, partitions=settings.partitions, topics=ids)
    return msgspec.structs.replace(known, topics={**ids, **known.topics})


def _check_new(known: Layout | None, bounds: Mapping[TopicPartition, tuple[int, int]]) -> None:
    """Refuse records that came before a layout told their epoch."""
    old = frozenset[str]() if known is None else known.topics.keys()
    _refuse({place.topic for place, (_, end) in bounds.items() if end} - old)


def _check_ids(layout: Layout, found: Mapping[str, TopicState]) -> None:
    _refuse({name for name, topic in found.items() if layout.topics[name] != topic.id})


def _refuse(others: Collection[str]) -> None:
    if others:
        raise LogLayoutError(
            f"{', '.join(sorted(others))}: made anew or restored since states were folded, "
            f"and would lose against them; {_REPAIR}"
        )


def _check_ends(
    bounds: Mapping[TopicPartition, tuple[int, int]], committed: Mapping[TopicPartition, int]
) -> None:
    for place, offset in sorted(committed.items()):
        _, end = bounds[place]
        if offset > end:
            raise LogLayoutError(
                f"{place.topic}/{place.partition}: ends at {end} and was folded up to {offset}, "
                f"so what follows would lose against it; {_REPAIR}"
            )
