"""
The table store on Kafka, where a changelog may have other writers.

A worker that is evicted without knowing it, because it was suspended or overloaded for longer than
the session lasts, goes on to send what it holds, among the records of the partition's new owner.
Such foreign records are joined in and published anew by a recovery, of which a partition's offset
makes sure: it stays in front of the first record that was not read, and in front of the first
whose key has yet to be published. So there is one path for all repairs, also after a crash.
"""

import logging
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from faust.types import TP, EventT

from flagstream import telemetry

from .store import Join, Store, TablePartition
from .table import DirectTable

if TYPE_CHECKING:
    from .kafka_driver import Consumer

logger = logging.getLogger(__name__)


class KafkaTablePartition(TablePartition):
    """
    One partition of a table, whose offset passes nothing that would be lost with it.

    Whether the partition is ours is not asked: a record of ours that follows on the last one known
    proves that nobody else has written in between.

    Attributes:
        offset: All changelog records up to here are in here, and none of them is the last of a
            key while something in here is missing from it. None for an empty table.
        unpublished: Keys whose last record that was read lacks something that is in here.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.unpublished: set[bytes] = set()
        self._last = self._secured
        self._has_hole = False

    @property
    def _secured(self) -> int:
        return -1 if self.offset is None else self.offset

    def missed(self, offset: int, count: int) -> int:
        """Count the records of others in front of our next *count*, which end at *offset*."""
        return max(0, offset - self._last - count)

    def save(self, offset: int, count: int) -> None:
        """Write the oldest *count* values, whose last changelog record is at *offset*."""
        self._has_hole = self._has_hole or offset != self._last + count
        for key, _ in islice(self._unsaved, self._in_changelog, self._in_changelog + count):
            self.unpublished.discard(key)
        super().save(offset, count)

    def _advance(self, offset: int) -> None:
        self._last = max(self._last, offset)
        if not (self.unpublished or self._has_hole):
            super()._advance(self._last)

    def _joined(
        self, key: bytes, ours: bytes | None, theirs: bytes | None, join: Join
    ) -> bytes | None:
        joined = super()._joined(key, ours, theirs, join)
        if joined == theirs:
            self.unpublished.discard(key)
        else:
            self.unpublished.add(key)
        return joined

    def rewind(self) -> None:
        """Expect the changelog to be read from the offset on."""
        self._last, self._has_hole = self._secured, False

    def catch_up(self, offset: int) -> None:
        """Note that the changelog was read up to *offset*, which compaction may have removed."""
        if offset > self._last:
            self._advance(offset)


class KafkaStore(Store):
    """A table's values as raw bytes; after a recovery their changelog agrees with them again."""

    _new_partition = KafkaTablePartition

    def _held(self, number: int) -> KafkaTablePartition | None:
        return cast("KafkaTablePartition | None", self._partitions.get(number))

    def save(self, partition: int, offset: int, count: int) -> None:
        """Save the oldest *count* values; behind foreign records, ask for a recovery."""
        held = self._held(partition)
        missed = 0 if held is None else held.missed(offset, count)
        super().save(partition, offset, count)
        if missed:
            telemetry.FOREIGN_RECORDS.labels(self.table_name).inc(missed)
            logger.warning(
                "Another worker wrote to the changelog",
                extra={"table": self.table_name, "partition": partition, "records": missed},
            )
            cast("Consumer", self.app.consumer).rejoin()

    def apply_changelog_batch(
        self,
        batch: Iterable[EventT[Any]],
        to_key: Any,
        to_value: Any,
    ) -> None:
        """Join changelog records in; Faust may hand over others', of partitions that went."""
        topic = self.table.changelog_topic.get_topic_name()
        ours = [
            event
            for event in batch
            if event.message.topic == topic and event.message.partition in self._partitions
        ]
        super().apply_changelog_batch(ours, to_key, to_value)

    async def on_rebalance(
        self,
        assigned: set[TP],
        revoked: set[TP],
        newly_assigned: set[TP],
        generation_id: int = 0,
    ) -> None:
        """Close the partitions that went and open those that came; all are recovered."""
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
        for number in self._partitions:
            cast("KafkaTablePartition", self._held(number)).rewind()

    async def on_recovery_completed(
        self,
        active_tps: set[TP],
        standby_tps: set[TP],  # noqa: ARG002 -- Faust's signature
    ) -> None:
        """Publish what the changelog lacks, unless another rebalance has ended the recovery."""
        recovery = cast(Any, self.app.tables).recovery
        # Records that came after the recovery's end are counted as read, but wait in the buffer.
        recovery.flush_buffers()
        for tp in active_tps:
            partition, read = self._held(tp.partition), recovery.active_offsets[tp]
            if partition and read is not None and read >= recovery.active_highwaters[tp]:
                partition.catch_up(read)
                self._publish(tp.partition, partition)

    def _publish(self, number: int, partition: KafkaTablePartition) -> None:
        for key in sorted(partition.unpublished):
            value = partition.get(key)
            partition.set(key, value)
            cast(DirectTable, self.table).publish(number, key, value)
        telemetry.REPUBLISHED_KEYS.labels(self.table_name).inc(len(partition.unpublished))
