"""Apache Kafka as the log: reads that commit nothing, and writes that wait to be durable."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as KafkaTopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from flagstream import tracing
from flagstream.errors import BodyTooLargeError, LogUnavailableError
from flagstream.ports import Append, LogRecord, Position, TopicPartition
from flagstream.telemetry import LOG_FAILURES
from flagstream.topics import APP_ID, Topic, partition_of

from . import kafka_offsets  # noqa: F401 -- mends its consumers
from .kafka_connection import disconnected

MAX_RECORD_BYTES = 4_194_304
BATCH_RECORDS = 2_000
_BATCH_BYTES = 262_144
_POLL_MS = 1_000
_READ_TIMEOUT_S = 30.0


class KafkaReader:
    """
    Reads topics: an asynchronous context manager.

    Whatever reads records has a consumer of its own, so that none moves another's position;
    offsets are asked for over one that stays connected.
    """

    def __init__(self, connection: Mapping[str, Any], partitions: int) -> None:
        """
        Prepare.

        Args:
            connection: What :func:`.kafka_connection.connection` makes.
        """
        self._connection = connection
        self._partitions = partitions
        self._asking = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._asker = await self._asking.enter_async_context(self._consumer(APP_ID))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._asking.aclose()

    async def bounds(self, topics: Sequence[str]) -> Mapping[TopicPartition, tuple[int, int]]:
        """Read per partition the first offset kept and the next one to be written."""
        partitions = [
            KafkaTopicPartition(topic, partition)
            for topic in topics
            for partition in range(self._partitions)
        ]
        async with _answered():
            first = await self._asker.beginning_offsets(partitions)
            after_last = await self._asker.end_offsets(partitions)
        return {TopicPartition(*tp): (first[tp], after_last[tp]) for tp in partitions}

    async def follow(
        self, positions: Mapping[TopicPartition, int]
    ) -> AsyncIterator[Sequence[LogRecord]]:
        """Read for ever from *positions*, in batches that are never empty."""
        async with self._consumer() as consumer:
            _seek(consumer, positions)
            while True:
                records = await _fetch(consumer, BATCH_RECORDS)
                if records:
                    yield records

    async def read(
        self, topic_partition: TopicPartition, start: int, limit: int
    ) -> Sequence[LogRecord]:
        """Read at most *limit* records from offset *start* on, up to the present end."""
        records: list[LogRecord] = []
        partition = KafkaTopicPartition(*topic_partition)
        async with self._consumer() as consumer, asyncio.timeout(_READ_TIMEOUT_S):
            end = (await consumer.end_offsets([partition]))[partition]
            _seek(consumer, {topic_partition: start})
            while len(records) < limit and await consumer.position(partition) < end:
                records += await _fetch(consumer, limit - len(records))
        return records

    async def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Read the agents' next offsets; those of partitions where one was committed."""
        async with _answered():
            # Not by the admin client: that takes a coordinator which is starting for an empty one.
            offsets = {
                partition: await self._asker.committed(KafkaTopicPartition(*partition))
                for partition in partitions
            }
        return {place: offset for place, offset in offsets.items() if offset is not None}

    @asynccontextmanager
    async def _consumer(self, group: str | None = None) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            **self._connection,
            group_id=group,
            enable_auto_commit=False,
            # Retention may have removed the position of a slow reader; all of them join.
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=MAX_RECORD_BYTES,
        )
        try:
            async with _answered(None):
                await consumer.start()
                yield consumer
        finally:
            await disconnected(consumer.stop())


async def commit(connection: Mapping[str, Any], offsets: Mapping[TopicPartition, int]) -> None:
    """
    Commit for the agents, none of which may run, where they go on.

    Raises:
        KafkaError: Some run, or the cluster does not answer.
    """
    consumer = AIOKafkaConsumer(**connection, group_id=APP_ID, enable_auto_commit=False)
    try:
        await consumer.start()
        places = {place: KafkaTopicPartition(*place) for place in offsets}
        consumer.assign(list(places.values()))
        await consumer.commit({places[place]: offset for place, offset in offsets.items()})
    finally:
        await disconnected(consumer.stop())


@asynccontextmanager
async def _answered(timeout_s: float | None = _READ_TIMEOUT_S) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except (KafkaError, TimeoutError) as error:
        raise LogUnavailableError(f"Kafka cannot be read: {error!r}") from error


def _seek(consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]) -> None:
    consumer.assign([KafkaTopicPartition(*partition) for partition in positions])
    for partition, offset in positions.items():
        consumer.seek(KafkaTopicPartition(*partition), offset)


async def _fetch(consumer: AIOKafkaConsumer, limit: int) -> list[LogRecord]:
    fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=limit)
    return [_log_record(record) for records in fetched.values() for record in records]


def _log_record(record: Any) -> LogRecord:
    key = record.key or b""
    return LogRecord(
        record.topic, record.partition, record.offset, record.timestamp, key, record.value
    )


@asynccontextmanager
async def producing(connection: Mapping[str, Any]) -> AsyncIterator[AIOKafkaProducer]:
    """
    Connect a producer whose records are acknowledged by all replicas that are in sync.

    Raises:
        LogUnavailableError: The cluster does not answer.
    """
    producer = AIOKafkaProducer(
        **connection,
        acks="all",
        enable_idempotence=True,
        max_batch_size=_BATCH_BYTES,
        max_request_size=MAX_RECORD_BYTES,
    )
    try:
        await _started(producer)
        yield producer
    finally:
        await disconnected(producer.stop())


async def _started(producer: AIOKafkaProducer) -> None:
    try:
        await producer.start()
    except KafkaError as error:
        raise LogUnavailableError(f"Kafka cannot be written: {error!r}") from error


class KafkaSink:
    """
    Appends records, acknowledged by all replicas that are in sync.

    An asynchronous context manager; appends wait for each other only where a batch is full.
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        partitions: int,
        *,
        delivery_timeout_s: float = 10.0,
    ) -> None:
        self._connection = connection
        self._partitions = partitions
        self._delivery_timeout_s = delivery_timeout_s
        self._producing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._producer = await self._producing.enter_async_context(producing(self._connection))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._producing.aclose()

    async def append(self, appends: Sequence[Append]) -> Sequence[Position]:
        """
        Append records; return once they are durable, in the order given.

        Events are written last: who finds one in the log may rely on what follows from it.

        Raises:
            LogUnavailableError: Not all were acknowledged in time; some may still be written.
            BodyTooLargeError: A record exceeds :data:`MAX_RECORD_BYTES`.
        """
        try:
            async with asyncio.timeout(self._delivery_timeout_s):
                states = iter(await self._write([each for each in appends if not _is_event(each)]))
                events = iter(await self._write([each for each in appends if _is_event(each)]))
        except MessageSizeTooLargeError as error:
            raise BodyTooLargeError(str(error)) from error
        except (KafkaError, TimeoutError) as error:
            LOG_FAILURES.inc()
            raise LogUnavailableError(f"Kafka takes no writes: {error!r}") from error
        return [next(events if _is_event(each) else states) for each in appends]

    async def _write(self, appends: Sequence[Append]) -> Sequence[Position]:
        send, partitions, headers = self._producer.send, self._partitions, tracing.headers()
        sent = [
            await send(
                topic.value,
                value,
                key=key,
                partition=partition_of(key, partitions),
                headers=headers,
            )
            for topic, key, value in appends
        ]
        return [
            Position(record.topic, record.partition, record.offset)
            for record in await asyncio.gather(*sent)
        ]


def _is_event(append: Append) -> bool:
    return append.topic is Topic.EVENTS
