"""Faust's consumer on the embedded log: one member that is assigned everything."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from faust.transport import base
from faust.types import TP, ConsumerMessage, Message
from mode import ServiceT

from flagstream.errors import LogUnavailableError
from flagstream.ports import LogRecord

from .assignment import assign, reset_tables_ahead

if TYPE_CHECKING:
    from .embedded import Transport
    from .producer import Producer

# Small enough that HTTP requests on the same loop are not kept waiting for a batch.
_BATCH = 50

logger = logging.getLogger(__name__)


class Consumer(base.Consumer):
    """
    Hands the log's records to the streams and commits what they have folded.

    A position moves when a record is handed over and not when it is fetched, so nothing that
    was fetched can be lost. Source partitions are read only after :meth:`perform_seek` and the
    resumption of the flow that follows it: Faust resumes them earlier and then clears the queues.
    """

    transport: "Transport"

    def __post_init__(self) -> None:
        self._assigned: set[TP] = set()
        self._positions: dict[TP, int] = {}
        self._handed_over: dict[TP, deque[int]] = {}
        self._folded: dict[TP, int] = {}
        self._generation = 0
        self._rebalancing = asyncio.Lock()
        self._has_sought = False
        self._reads_sources = False
        self._wake = asyncio.Event()

    # -- assignment

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Assign all partitions of *topics*, after the conductor has seen this return."""
        self.add_future(self._rebalance(set(topics)))

    async def _rebalance(self, topics: set[str]) -> None:
        async with self._rebalancing:
            self.app.on_rebalance_start()
            if self._assigned:
                await self.on_partitions_revoked(self._assigned)
            self._generation += 1
            self.app.consumer_generation_id = self._generation
            self._assigned = assign(self.app, self.transport.log, topics)
            self._positions = {tp: self._first(tp) for tp in self._assigned}
            self.transport.listen()
            reset_tables_ahead(self.app, self.transport.log, self._assigned)
            await self.on_partitions_assigned(self._assigned, self._generation)

    def assignment(self) -> set[TP]:
        """Return all partitions of the topics subscribed to."""
        return self._assigned

    def _is_source(self, tp: TP) -> bool:
        return tp.topic not in self.transport.changelogs

    def _first(self, tp: TP) -> int:
        committed = self.transport.log.committed(self._group, *tp)
        return self.transport.log.partition(*tp).bounds.start if committed is None else committed

    @property
    def _group(self) -> str:
        return self.app.conf.id

    # -- positions

    async def perform_seek(self) -> None:
        """Go back to the committed offsets; what was handed over since will come again."""
        await self.seek_to_committed()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go back to the committed offsets, or to the first record where there are none."""
        sought = {tp: self._first(tp) for tp in self._assigned if self._is_source(tp)}
        for tp, offset in sought.items():
            self._positions[tp] = offset
            self._read_offset[tp] = offset or None
            self._committed_offset[tp] = offset or None
            self._folded.pop(tp, None)
            self._handed_over[tp] = deque()
            self._acked[tp].clear()
            self._acked_index[tp].clear()
        self._has_sought = True
        self._reads_sources = False
        return sought

    def stop_flow(self) -> None:
        """Hand nothing over any more."""
        super().stop_flow()
        self._has_sought = self._reads_sources = False

    def resume_flow(self) -> None:
        """Go on handing over; Faust has cleared the streams' queues just now."""
        super().resume_flow()
        self._reads_sources = self._has_sought
        self._wake.set()

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Go on reading *tps*."""
        super().resume_partitions(tps)
        self._wake.set()

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Go to the given offsets."""
        for tp, offset in partitions.items():
            await self._seek(tp, offset)
            self._read_offset[tp] = offset or None

    async def _seek(self, partition: TP, offset: int) -> None:
        self._positions[partition] = offset

    async def position(self, tp: TP) -> int | None:
        """Return the offset to be handed over next."""
        return self._positions.get(tp)

    def highwater(self, tp: TP) -> int:
        """Return the next offset to be written."""
        return self.transport.log.partition(*tp).bounds.end

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Return the next offsets to be written."""
        return {tp: self.highwater(tp) for tp in partitions}

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Return the first offsets kept."""
        return {tp: self.transport.log.partition(*tp).bounds.start for tp in partitions}

    # -- fetching

    def on_buffer_drop(self, tp: TP) -> None:
        """Call when a stream's buffer has room again."""
        super().on_buffer_drop(tp)
        self._wake.set()

    async def _wait_next_records(
        self,
        timeout: float,  # noqa: ASYNC109 -- Faust's signature
    ) -> tuple[Any, set[TP] | None]:
        if not self.transport.overrides.wake_on_drop:
            return await super()._wait_next_records(timeout)
        if not self.flow_active:
            await self.wait(cast(Any, self.can_resume_flow))
        active = self._get_active_partitions()
        return await self._getmany(active, timeout), active

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109 -- Faust's
    ) -> Mapping[TP, list[LogRecord]]:
        with self.transport.log.watch() as self._wake:
            records = self._fetch(active_partitions or set())
            if not records:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), timeout)
                records = self._fetch(active_partitions or set())
        return records

    def _fetch(self, active: set[TP]) -> Mapping[TP, list[LogRecord]]:
        if not self.transport.takes_writes():
            return {}
        fetched = {tp: self._read(tp) for tp in active if self._can_read(tp)}
        return {tp: records for tp, records in fetched.items() if records}

    def _can_read(self, tp: TP) -> bool:
        return self._reads_sources or not self._is_source(tp)

    def _read(self, tp: TP) -> list[LogRecord]:
        try:
            return self.transport.log.partition(*tp).read(self._positions[tp], _BATCH)
        except LogUnavailableError:
            return []

    def _to_message(self, tp: TP, record: LogRecord) -> ConsumerMessage:
        # Called when a record is handed over, on Faust's path as on ours.
        self._positions[tp] = record.offset + 1
        if tp in self._handed_over and self.app.topics.acks_enabled_for(tp.topic):
            self._handed_over[tp].append(record.offset)
        return ConsumerMessage(
            *record[:3],
            record.timestamp_ms / 1000,
            0,
            None,
            record.key,
            record.value,
            None,
            tp=tp,
            generation_id=self._generation,
        )

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        if not self.transport.overrides.direct_drain:
            await super()._drain_messages(fetcher)
            return
        while not (self.should_stop or fetcher.should_stop):
            generation = self._generation
            batches, active = await self._wait_next_records(timeout=1.0)
            for tp, records in batches.items():
                for record in records:
                    if generation != self._generation or not self._is_due(tp, record, active):
                        break
                    await self.callback(cast(Message, self._to_message(tp, record)))
                await asyncio.sleep(0)

    def _is_due(self, tp: TP, record: LogRecord, active: set[TP] | None) -> bool:
        return (
            self.flow_active
            and (active is None or tp in active)
            and self._can_read(tp)
            and record.offset >= self._positions[tp]
        )

    # -- committing

    def _new_offset(self, tp: TP) -> int | None:
        # Faust looks for consecutive offsets, but a compacted source has gaps: this looks for
        # what was handed over, and so passes neither a gap nor a record that is not folded.
        handed_over, acked = self._handed_over.get(tp, deque()), self._acked_index[tp]
        while handed_over and handed_over[0] in acked:
            offset = handed_over.popleft()
            acked.discard(offset)
            self._folded[tp] = offset + 1
        self._acked[tp].clear()
        return self._folded.get(tp)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        # By what the log says, so that a commit that failed is tried again.
        committed = self.transport.log.committed(self._group, *tp)
        return committed is None or offset > committed

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Note nothing: only compaction leaves gaps, and :meth:`_new_offset` knows them."""

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        try:
            await cast("Producer", self.app.producer).delivered()
            await self.transport.log.commit(self._group, offsets)
        except LogUnavailableError as error:
            logger.warning("Offsets wait for the log", extra={"reason": str(error)})
            return False
        return True

    # -- topics

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    def topic_partitions(self, topic: str) -> int | None:
        """Return a topic's number of partitions."""
        return self.transport.log.partitions(topic)

    def key_partition(
        self, topic: str, key: bytes | None, partition: int | None = None
    ) -> int | None:
        """Choose the partition of a key."""
        if partition is not None:
            return partition
        return self.app.producer.key_partition(topic, key or b"").partition

    async def create_topic(self, *args: Any, **kwargs: Any) -> None:
        """Create a topic unless it is there."""
        await self.app.producer.create_topic(*args, **kwargs)

    def verify_recovery_event_path(self, now: float, tp: TP) -> None:
        """Check nothing: there is no broker that could stop answering."""
