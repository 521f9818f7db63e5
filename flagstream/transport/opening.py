"""The log that the settings name, opened: the one place that knows there are two kinds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flagstream.ports import LogReader, RecordSink
from flagstream.settings import Settings
from flagstream.topics import topic_specs

from . import embedded, kafka_driver, kafka_topics
from .copies import drop_copies_of_others
from .kafka import KafkaReader, KafkaSink
from .kafka_admin import administering
from .kafka_connection import connection
from .options import LogOptions
from .reader import EmbeddedReader
from .registry import close_log, open_log
from .sink import EmbeddedSink


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLog:
    """
    An open log.

    Attributes:
        faust_settings: For a ``faust.App`` on this log.
        epoch: Of a topic: grows whenever its offsets begin anew.
        checkpoint: Writes a copy of the embedded log; None on Kafka.
        topic_bytes: How much the embedded log keeps of each topic that it keeps for a time.
        is_writable: Tells whether the embedded log takes writes; None on Kafka.
    """

    faust_settings: Mapping[str, Any]
    sink: RecordSink
    reader: LogReader
    epoch: Callable[[str], int]
    checkpoint: Callable[[Path], Awaitable[None]] | None = None
    topic_bytes: Callable[[], Mapping[str, int]] = dict
    is_writable: Callable[[], bool] | None = None


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[OpenLog]:
    """
    Open the log with all its topics.

    Raises:
        LogError: It cannot be opened; the message names the directory or the broker.
        SettingsError: A topic is there already and has other partitions.
        LogLayoutError: The topics are not those that the states follow from, at once or later.
    """
    kind = _kafka if settings.broker_url else _embedded
    async with kind(settings) as log:
        yield log


@asynccontextmanager
async def _embedded(settings: Settings) -> AsyncIterator[OpenLog]:
    options = LogOptions(
        directory=settings.data_dir / "log",
        fsync=settings.embedded_fsync,
        fsync_interval_ms=settings.embedded_fsync_interval_ms,
        retention_hours=settings.retention_hours,
        retention_bytes=settings.retention_bytes,
    )
    log = open_log(options)
    try:
        for spec in topic_specs(settings.partitions):
            log.create_topic(spec.name, spec.partitions, is_compacted=spec.is_compacted)
        yield OpenLog(
            faust_settings=embedded.faust_settings(settings),
            sink=EmbeddedSink(log),
            reader=EmbeddedReader(log),
            epoch=log.epoch,
            checkpoint=log.checkpoint,
            topic_bytes=log.topic_bytes,
            is_writable=lambda: log.is_available,
        )
    finally:
        await close_log(log)


@asynccontextmanager
async def _kafka(settings: Settings) -> AsyncIterator[OpenLog]:
    layout = await kafka_topics.create_topics(settings)
    drop_copies_of_others(settings, layout)
    connected = connection(settings)
    async with (
        administering(settings, timeout_s=None) as admin,
        _while(kafka_topics.watch_topics(admin, layout)),
        KafkaReader(connected, settings.partitions) as reader,
        KafkaSink(connected, settings.partitions) as sink,
    ):
        yield OpenLog(
            faust_settings=kafka_driver.faust_settings(settings),
            sink=sink,
            reader=reader,
            epoch=lambda _topic: layout.epoch,
        )


@asynccontextmanager
async def _while(condition: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Cancel the body as soon as *condition* raises, and raise that."""
    try:
        async with asyncio.TaskGroup() as tasks:
            checking = tasks.create_task(condition)
            yield
            checking.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
