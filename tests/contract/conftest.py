"""The logs that have to keep the contract."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from flagstream.ports import LogReader, RecordSink
from flagstream.settings import Settings
from flagstream.transport.kafka import KafkaReader, KafkaSink
from flagstream.transport.kafka_driver import faust_settings
from flagstream.transport.kafka_topics import create_topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One of our logs, its topics created, and how a Faust app gets to it."""

    settings: Settings
    reader: LogReader
    sink: RecordSink
    faust_settings: dict[str, Any]


@pytest.fixture(params=[pytest.param("kafka", marks=pytest.mark.broker)])
def broker_url(request) -> str:
    """Of Kafka, or none for the embedded log."""
    return request.getfixturevalue("kafka").url if request.param == "kafka" else ""


@pytest.fixture
async def log(broker_url, tmp_path):
    settings = Settings(broker_url=broker_url, partitions=3, data_dir=tmp_path)
    async with kafka_log(settings) as log:
        yield log


@asynccontextmanager
async def kafka_log(settings):
    await create_topics(settings)
    async with KafkaSink(settings.broker_url, settings.partitions) as sink:
        yield Log(
            settings=settings,
            reader=KafkaReader(settings.broker_url, settings.partitions),
            sink=sink,
            faust_settings=faust_settings(settings),
        )
