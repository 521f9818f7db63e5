"""Committed offsets on Kafka while the broker that keeps them changes."""

import pytest
from aiokafka import TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import GroupAuthorizationFailedError, GroupLoadInProgressError
from aiokafka.errors import NotCoordinatorForGroupError as Moved
from aiokafka.protocol.commit import OffsetFetchResponse_v3

from flagstream.transport import kafka_offsets

PLACE = TopicPartition("topic", 0)


def answer(*topics, error_code=0):
    return OffsetFetchResponse_v3(0, list(topics), error_code)


OFFSET = answer(("topic", [(0, 7, "", 0)]))
NONE = answer(("topic", [(0, -1, "", 0)]))


class Client:
    """A cluster that answers as it is told; who coordinates changes with each look-up."""

    def __init__(self, answers):
        self.cluster = ClusterMetadata()
        self.answers = list(answers)
        self.asked = []
        self._nodes = iter(range(1, 9))

    async def coordinator_lookup(self, _kind, _group):
        return next(self._nodes)

    async def ready(self, _node, group=None):
        return True

    async def send(self, node, _request, group=None):
        self.asked.append(node)
        return self.answers.pop(0)


async def committed(client):
    """Ask as a consumer does that is in no group itself."""
    coordinator = GroupCoordinator(
        client, SubscriptionState(), group_id="group", retry_backoff_ms=1
    )
    try:
        return await coordinator.fetch_committed_offsets([PLACE])
    finally:
        await coordinator.close()


class TestCommitted:
    @pytest.mark.parametrize(
        ("error", "nodes"), [(Moved, [1, 2]), (GroupLoadInProgressError, [1, 1])]
    )
    async def test_asked_again(self, error, nodes):
        """
        Who does not coordinate the group any more, or not yet, is not believed that there is
        nothing: whoever does is found and asked.
        """
        client = Client([answer(error_code=error.errno), OFFSET])

        found = await committed(client)

        assert 7 == found[PLACE].offset
        assert nodes == client.asked

    async def test_refused(self):
        """
        Who may not ask is told so.
        """
        client = Client([answer(error_code=GroupAuthorizationFailedError.errno)])

        with pytest.raises(GroupAuthorizationFailedError):
            await committed(client)

    async def test_nothing(self):
        """
        Where nothing was committed there is nothing.
        """
        assert {} == await committed(Client([NONE]))

    def test_installed(self):
        """
        The driver's consumers are mended, and so are the readers.
        """
        assert GroupCoordinator._send_req is kafka_offsets._send_checked
