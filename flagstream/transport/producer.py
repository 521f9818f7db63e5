"""Faust's producer on the embedded log."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from faust.transport import base
from faust.types import TP, FutureMessage, RecordMetadata
from faust.types.core import HeadersArg

from flagstream.errors import LogUnavailableError
from flagstream.topics import partition_of

from .log import NewRecord

if TYPE_CHECKING:
    from .embedded import Transport

logger = logging.getLogger(__name__)


class Producer(base.Producer):
    """Appends what agents and tables send; nothing sent is dropped, also on a full disk."""

    transport: "Transport"

    def __post_init__(self) -> None:
        self._unsent: set[FutureMessage] = set()

    async def on_start(self) -> None:
        """Call when the service starts, as the first of all."""
        self.transport.open()
        await super().on_start()

    async def on_stop(self) -> None:
        """Call when the service stops, as the last of all."""
        await self.flush()
        await self.transport.close()

    async def send(  # noqa: PLR0913 -- Faust's signature
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: HeadersArg | None,
        *,
        transactional_id: str | None = None,  # noqa: ARG002 -- Faust's signature
    ) -> Awaitable[RecordMetadata]:
        """Append a record; the result is there once it is durable."""
        if headers:
            raise ValueError(f"{topic}: the embedded log carries no headers, got {headers!r}")
        record = self._record(topic, key, value, partition, timestamp)
        sent: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        tp = TP(topic, record.partition)

        def written(offset: int) -> None:
            if not sent.done():
                sent.set_result(
                    RecordMetadata(*tp, tp, offset, record.timestamp_ms / 1000, timestamp_type=0)
                )

        self.transport.log.post(record, written)
        return sent

    async def send_and_wait(  # noqa: PLR0913 -- Faust's signature
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: HeadersArg | None,
        *,
        transactional_id: str | None = None,  # noqa: ARG002 -- Faust's signature
    ) -> RecordMetadata:
        """Append a record and wait until it is durable."""
        return await (await self.send(topic, key, value, partition, timestamp, headers))

    def send_soon(self, fut: FutureMessage) -> None:
        """Append a record without waiting, Faust's way; :meth:`delivered` waits for it."""
        self._unsent.add(fut)
        fut.add_done_callback(self._unsent.discard)
        super().send_soon(fut)

    def _record(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
    ) -> NewRecord:
        key = key or b""
        if partition is None:
            partition = self.key_partition(topic, key).partition
        time_ns = time.time_ns() if timestamp is None else int(timestamp * 1e9)
        return NewRecord(topic, partition, key, value, time_ns // 1_000_000)

    async def delivered(self) -> None:
        """
        Wait until all that was sent so far is durable.

        Raises:
            LogUnavailableError: The log takes no writes now; what was sent waits in memory.
        """
        while unsent := set(self._unsent):
            self.transport.log.check_available()
            await asyncio.wait(unsent, timeout=0.1)
        await self.transport.log.flush()

    async def flush(self) -> None:
        """Wait until all that was sent so far is durable, unless the log takes no writes."""
        try:
            await self.delivered()
        except LogUnavailableError as error:
            logger.warning("Records wait for the log", extra={"reason": str(error)})

    async def create_topic(  # noqa: PLR0913 -- Faust's signature
        self,
        topic: str,
        partitions: int,
        replication: int,  # noqa: ARG002 -- Faust's signature
        *,
        config: Mapping[str, Any] | None = None,  # noqa: ARG002 -- Faust's signature
        timeout: Any = 30.0,  # noqa: ARG002, ASYNC109 -- Faust's signature
        retention: Any = None,  # noqa: ARG002 -- Faust's signature
        compacting: bool | None = None,
        deleting: bool | None = None,  # noqa: ARG002 -- Faust's signature
        ensure_created: bool = False,  # noqa: ARG002 -- Faust's signature
    ) -> None:
        """Create a topic unless it is there."""
        if topic not in self.transport.log.topics():
            self.transport.log.create_topic(topic, partitions, is_compacted=bool(compacting))

    def key_partition(self, topic: str, key: bytes) -> TP:
        """Choose the partition of a key."""
        return TP(topic, partition_of(key, self.transport.log.partitions(topic)))
