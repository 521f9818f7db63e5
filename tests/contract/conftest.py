"""The logs that have to keep the contract."""

from dataclasses import dataclass

import pytest

from flagstream.settings import Settings
from flagstream.transport.opening import OpenLog, opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One of our logs, opened once for the whole test: apps come and go on it."""

    settings: Settings
    open: OpenLog


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.broker)])
def broker_url(request):
    """Of Kafka, or none for the embedded log."""
    return request.getfixturevalue("kafka").url if request.param == "kafka" else ""


@pytest.fixture
async def log(broker_url, tmp_path):
    settings = Settings(broker_url=broker_url, partitions=3, data_dir=tmp_path)
    async with opened(settings) as log:
        yield Log(settings=settings, open=log)
