"""
The layout of the topics on Kafka: where their keys lie, and in which epoch their offsets count.

It is kept in a topic of its own, which every process reads before anything else.
"""

from enum import StrEnum

import msgspec
from aiokafka import AIOKafkaProducer

from flagstream.ports import LogReader, TopicPartition
from flagstream.state.records import Record
from flagstream.topics import Table, Topic, TopicSpec, record_key

META = TopicSpec(name="flagstream.meta", partitions=1, is_compacted=True)
# What has no table is carried over as it is; of the others everything is in the states then.
CARRIED = (Topic.EVENTS.value, Topic.DEAD_LETTERS.value, Topic.INGESTION_WARNINGS.value)
COPIED = (*CARRIED, *(table.changelog for table in Table))
_PLACE = TopicPartition(META.name, 0)
# One record for each epoch, and a few more until compaction.
_MOST_RECORDS = 100_000


class Stage(StrEnum):
    """How far a migration is."""

    SETTLED = "settled"
    COPYING = "copying"
    COPIED = "copied"
    REPLACED = "replaced"


class Layout(Record, frozen=True):
    """
    What the states in the topics follow from.

    Attributes:
        epoch: Of all source topics: the high part of the versions of what is folded from them.
        partitions: By which the keys are placed.
        topics: Id by name of the topics that the offsets in states and commits are of.
        stage: Only settled topics may be written and read.
    """

    epoch: int
    partitions: int
    topics: dict[str, str] = msgspec.field(default_factory=dict)
    stage: Stage = Stage.SETTLED

    @property
    def key(self) -> bytes:
        """Of its record: another process that is late must not displace a newer epoch's."""
        return record_key(self.epoch)


def beside(topic: str) -> str:
    """Name of a topic's copy, which is there while a migration is under way and only then."""
    return f"{topic}.migrating"


async def read_layout(reader: LogReader) -> Layout | None:
    """Read the latest layout; None before the first."""
    records = await reader.read(_PLACE, 0, _MOST_RECORDS)
    layouts = [Layout.from_bytes(record.value) for record in records if record.value]
    return max(reversed(layouts), key=lambda layout: layout.epoch, default=None)


async def write_layout(producer: AIOKafkaProducer, layout: Layout) -> None:
    """Write a layout; it holds once this returns."""
    await producer.send_and_wait(META.name, layout.to_bytes(), key=layout.key, partition=0)
