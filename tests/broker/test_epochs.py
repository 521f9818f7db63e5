"""Source topics whose offsets begin anew."""

import pytest

from flagstream.settings import Settings
from flagstream.topics import Table, topic_specs
from flagstream.transport.kafka_admin import administering
from tests.waiting import until

pytestmark = pytest.mark.broker
TIMEOUT_S = 30.0


class TestRunning:
    async def test_nodes_end(self, kafka, make_server):
        """
        A server whose source is deleted and created again ends, and says how to repair that: what
        it folds from then on would lose against older states.
        """
        server = make_server(broker_url=kafka.url, partitions=1)
        server.start()
        async with administering(Settings(broker_url=kafka.url)) as admin:
            await admin.delete([Table.GROUPS.source])
            await admin.create(tuple(topic_specs(1)))

        assert 1 == until(server.process.poll, TIMEOUT_S)
        assert "group-updates: made anew" in server.log.read_text()
        assert "flagstream topics migrate" in server.log.read_text()
