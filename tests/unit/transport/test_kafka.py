"""What the Kafka log does where no broker is."""

import socket

import pytest

from flagstream.errors import LogUnavailableError
from flagstream.settings import Settings
from flagstream.topics import Topic
from flagstream.transport.kafka import KafkaReader, KafkaSink, bootstrap_servers
from flagstream.transport.kafka_topics import create_topics


@pytest.fixture
def dead_url():
    """The URL of a broker that is not there; nobody else gets its port meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"kafka://127.0.0.1:{taken.getsockname()[1]}"


class TestBootstrapServers:
    @pytest.mark.parametrize(
        "url", ["kafka://one:1;two:2", "kafka://one:1;kafka://two:2"], ids=["once", "each"]
    )
    def test_scheme_may_be_repeated(self, url):
        """
        Several brokers are divided by semicolons, with the scheme once or on each.
        """
        assert ["one:1", "two:2"] == bootstrap_servers(url)


class TestWithoutABroker:
    async def test_sink(self, dead_url):
        """
        A sink that finds no broker says so when it is opened.
        """
        with pytest.raises(LogUnavailableError, match="cannot be written"):
            async with KafkaSink(dead_url, 1):
                pass

    async def test_reader(self, dead_url):
        """
        A reader that finds no broker says so when it is asked.
        """
        with pytest.raises(LogUnavailableError, match="cannot be read"):
            await KafkaReader(dead_url, 1).bounds([Topic.EVENTS])

    async def test_topics(self, dead_url):
        """
        The start names the broker that does not answer.
        """
        with pytest.raises(LogUnavailableError, match=dead_url):
            await create_topics(Settings(broker_url=dead_url))
