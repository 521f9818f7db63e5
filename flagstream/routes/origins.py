"""Where the properties come from that a flag looks at, and when they were written."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from flagstream.errors import LogError
from flagstream.flags import EvaluationContext, Origin
from flagstream.flags.context import METADATA
from flagstream.management import iso_time
from flagstream.ports import EvaluationView, TopicPartition, TopicReader
from flagstream.state.registers import register_of
from flagstream.topics import Topic, offset_of, partition_of, record_key
from flagstream.wire import FlagsRequest

_MAX_READS = 64  # of the log: there are hardly as many filters


class Write(NamedTuple):
    """A record that a property was written by."""

    topic: Topic
    key: bytes
    version: int


class WriteTimes:
    """When records were written, as far as the log has them."""

    def __init__(self, reader: TopicReader, partitions: int) -> None:
        self._reader = reader
        self._partitions = partitions

    async def of(self, writes: Iterable[Write]) -> Mapping[Write, str | None]:
        """Read the times of some writes; None of those that the log does not have any more."""
        some = list(dict.fromkeys(writes))[:_MAX_READS]
        times = await asyncio.gather(*map(self._time_of, some))
        return dict(zip(some, times, strict=True))

    async def _time_of(self, write: Write) -> str | None:
        offset = offset_of(write.version)
        place = TopicPartition(write.topic, partition_of(write.key, self._partitions))
        try:
            records = await self._reader.read(place, offset, 1)
        except LogError:
            return None
        for record in records:
            # Topics that were made anew have other records at the same offsets.
            if record.offset == offset and record.key == write.key:
                return iso_time(record.timestamp_ms)
        return None


class OriginsOf:
    """Where the properties of one request come from."""

    def __init__(
        self,
        view: EvaluationView,
        project_id: int,
        asked: FlagsRequest,
        context: EvaluationContext,
        unknown: Mapping[str, Collection[str]],
    ) -> None:
        """
        Prepare.

        Args:
            unknown: By type, the properties of its group that may have been set.
        """
        self._view = view
        self._project_id = project_id
        self._asked = asked
        self._context = context
        self._unknown = unknown
        self._stored: list[tuple[Write, Origin]] = []

    def __call__(self, group_type: str | None, name: str) -> Origin:
        """Tell of one property; of a person's where *group_type* is None."""
        if name == ("distinct_id" if group_type is None else "$group_key"):
            return Origin(source="server")
        given = (
            self._asked.person_properties
            if group_type is None
            else self._asked.group_properties.get(group_type, {})
        )
        if name in given:
            return Origin(source="request")
        if group_type is not None and name in self._unknown.get(group_type, ()):
            return Origin(source="unknown")
        write = self._of_person(name) if group_type is None else self._of_group(group_type, name)
        if write is not None:
            origin = Origin(source="stored", version=write.version)
            self._stored.append((write, origin))
            return origin
        is_added = group_type is None and name in self._context.person_properties
        return Origin(source="server" if is_added else "missing")

    async def tell_times(self, times: WriteTimes) -> None:
        """Add to all that were asked for when they were written."""
        found = await times.of(write for write, _ in self._stored)
        for write, origin in self._stored:
            origin.written_at = found.get(write)

    def _of_person(self, name: str) -> Write | None:
        if name.startswith(METADATA):
            return None
        found = self._view.person_write(self._project_id, self._context.distinct_id, name)
        if found is None:
            return None
        key = record_key(self._project_id, found.distinct_id)
        return Write(Topic.PERSON_UPDATES, key, found.version)

    def _of_group(self, group_type: str, name: str) -> Write | None:
        group_key = self._context.groups.get(group_type)
        if group_key is None:
            return None
        group = self._view.group(self._project_id, group_type, group_key)
        if group is None:
            return None
        found = register_of(name, group.properties, group.once)
        if found is None:
            return None
        key = record_key(self._project_id, group_type, group_key)
        return Write(Topic.GROUP_UPDATES, key, found.version)
