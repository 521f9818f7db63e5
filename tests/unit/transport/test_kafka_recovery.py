"""Recovery of tables from a broker that does not answer in time."""

import asyncio

import faust
import pytest
from aiokafka.errors import KafkaTimeoutError
from faust.tables.recovery import RebalanceAgain, ServiceStopped
from faust.tables.recovery import Recovery as StockRecovery

from flagstream.transport import kafka_driver
from flagstream.transport.kafka_driver import Recovery

TIMEOUT_S = 0.01


@pytest.fixture
async def app():
    """An app that never connects; Faust opens a loop for its consumer, which is closed here."""
    app = faust.App("test", broker="kafka://unused", store="memory://", web_enabled=False)

    yield app

    app.consumer._thread.thread_loop.close()


@pytest.fixture
def recovery(app, monkeypatch):
    monkeypatch.setattr(kafka_driver, "_RECOVERY_PAUSE_S", 0)
    return Recovery(app, app.tables)


async def answer_never():
    await asyncio.Event().wait()


async def refuse():
    raise KafkaTimeoutError("no offsets")


class TestRecovery:
    async def test_faust_ends(self, app):
        """
        Faust's own takes a step that timed out for its end; once this fails, ours is not needed.
        """
        with pytest.raises(ServiceStopped):
            await StockRecovery(app, app.tables)._wait(answer_never(), timeout=TIMEOUT_S)

    @pytest.mark.parametrize("step", [answer_never, refuse])
    async def test_begins_anew(self, recovery, step):
        """
        A step that timed out or was refused has everything recovered once more.
        """
        with pytest.raises(RebalanceAgain):
            await recovery._wait(step(), timeout=TIMEOUT_S)

        assert recovery.signal_recovery_start.is_set()

    async def test_ends(self, recovery):
        """
        Once the worker stops, nothing is recovered.
        """
        recovery._stopped.set()

        with pytest.raises(ServiceStopped):
            await recovery._wait(answer_never(), timeout=TIMEOUT_S)
        assert not recovery.signal_recovery_start.is_set()
