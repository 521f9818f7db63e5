"""The names, keys and partitions of everything in the log."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import mmh3
import orjson

APP_ID = "flagstream"
_OFFSET_BITS = 48


class Topic(StrEnum):
    """A source topic; its records are what clients and operators did."""

    EVENTS = "flagstream.events"
    GROUP_TYPE_CLAIMS = "flagstream.group-type-claims"
    GROUP_UPDATES = "flagstream.group-updates"
    SESSION_UPDATES = "flagstream.session-updates"
    PERSON_UPDATES = "flagstream.person-updates"
    DEFINITIONS = "flagstream.definitions"
    DEFINITION_CHANGES = "flagstream.definition-changes"
    DEAD_LETTERS = "flagstream.dead-letters"
    INGESTION_WARNINGS = "flagstream.ingestion-warnings"


class Table(StrEnum):
    """A Faust table: the fold of one source topic, with the very keys of that topic."""

    GROUP_TYPES = "group-types"
    GROUPS = "groups"
    SESSIONS = "sessions"
    PERSONS = "persons"
    DEFINITIONS = "definitions"
    HISTORY = "history"

    @property
    def source(self) -> Topic:
        """The topic that this table is the fold of."""
        return _SOURCES[self]

    @property
    def changelog(self) -> str:
        """The compacted topic that carries every state of this table."""
        return f"{APP_ID}-{self.value}-changelog"


_SOURCES = {
    Table.GROUP_TYPES: Topic.GROUP_TYPE_CLAIMS,
    Table.GROUPS: Topic.GROUP_UPDATES,
    Table.SESSIONS: Topic.SESSION_UPDATES,
    Table.PERSONS: Topic.PERSON_UPDATES,
    Table.DEFINITIONS: Topic.DEFINITIONS,
    Table.HISTORY: Topic.DEFINITION_CHANGES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """
    What a topic must look like before the worker starts.

    Attributes:
        is_compacted: Keeps the last record of every key for good instead of deleting by age.
    """

    name: str
    partitions: int
    is_compacted: bool


def topic_specs(partitions: int) -> Iterator[TopicSpec]:
    """Yield every topic: a table and its source need the same number of partitions."""
    for topic in Topic:
        is_compacted = topic is Topic.DEFINITIONS
        yield TopicSpec(name=topic.value, partitions=partitions, is_compacted=is_compacted)
    for table in Table:
        yield TopicSpec(name=table.changelog, partitions=partitions, is_compacted=True)


def record_key(*parts: str | int) -> bytes:
    """
    Encode a record's key: the JSON array of its parts, the project's id first.

    JSON keeps keys apart that contain each other's separators and reads well in any tool.
    """
    return orjson.dumps(parts)


def key_parts(key: bytes) -> list[str | int]:
    """Decode what :func:`record_key` made."""
    parts: list[str | int] = orjson.loads(key)
    return parts


def partition_of(key: bytes, partitions: int) -> int:
    """
    Choose the partition of a key, alike in every producer.

    Not Kafka's murmur2: in Python that costs more than the rest of an append.
    """
    return int(mmh3.hash(key, 0, signed=False)) % partitions


def version_of(epoch: int, offset: int) -> int:
    """
    Version of a change: its place in the order of ingestion of its key.

    Args:
        epoch: Grows whenever offsets of the source topic begin anew, ``range(2**15)``.
        offset: Of the record in its partition, ``range(2**48)``.
    """
    return (epoch << _OFFSET_BITS) + offset


def epoch_of(version: int) -> int:
    """Read the epoch out of what :func:`version_of` made."""
    return version >> _OFFSET_BITS


def offset_of(version: int) -> int:
    """Read the offset likewise."""
    return version & ((1 << _OFFSET_BITS) - 1)
