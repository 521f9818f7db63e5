"""What the Kafka log does where no broker is."""

import socket

import pytest
import trustme

from flagstream.errors import LogUnavailableError, SettingsError
from flagstream.settings import Settings
from flagstream.transport.kafka import KafkaReader, KafkaSink
from flagstream.transport.kafka_connection import bootstrap_servers, connection
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


class TestConnection:
    def test_plain(self):
        """
        Without further settings nobody asks for a password, and nothing is encrypted.
        """
        url = "kafka://one:1"
        plain = {
            "bootstrap_servers": ["one:1"],
            "security_protocol": "PLAINTEXT",
            "request_timeout_ms": 10_000,
        }

        assert plain == connection(Settings(broker_url=url))

    @pytest.mark.parametrize("setting", ["kafka_ca_file", "kafka_certificate_file"])
    @pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "no PEM"])
    def test_a_file_that_cannot_be_read_is_named(self, tmp_path, setting, content):
        """
        A file of certificates that is missing or holds none stops the start.
        """
        file = tmp_path / "some.pem"
        if content is not None:
            file.write_text(content)
        settings = {"broker_url": "kafka://one:1", "kafka_security": "ssl", setting: str(file)}

        with pytest.raises(
            SettingsError, match=rf"^{setting}: expected a file of PEM, got '{file}'"
        ):
            connection(Settings.model_validate(settings))

    def test_own_certificate(self, tmp_path):
        """
        A certificate and its key in one file are shown to brokers that ask for it.
        """
        authority = trustme.CA()
        ca_file, own_file = tmp_path / "ca.pem", tmp_path / "own.pem"
        authority.cert_pem.write_to_path(str(ca_file))
        own = authority.issue_cert("client.example")
        own.private_key_and_cert_chain_pem.write_to_path(str(own_file))
        settings = Settings(
            broker_url="kafka://one:1",
            kafka_security="ssl",
            kafka_ca_file=str(ca_file),
            kafka_certificate_file=str(own_file),
        )

        connected = connection(settings)

        assert "SSL" == connected["security_protocol"]
        assert 1 == len(connected["ssl_context"].get_ca_certs())


class TestWithoutABroker:
    async def test_sink(self, dead_url):
        """
        A sink that finds no broker says so when it is opened.
        """
        with pytest.raises(LogUnavailableError, match="cannot be written"):
            async with KafkaSink(connection(Settings(broker_url=dead_url)), 1):
                pass

    async def test_reader(self, dead_url):
        """
        A reader that finds no broker says so when it is opened.
        """
        with pytest.raises(LogUnavailableError, match="cannot be read"):
            async with KafkaReader(connection(Settings(broker_url=dead_url)), 1):
                pass

    async def test_topics(self, dead_url):
        """
        The start names the broker that does not answer.
        """
        with pytest.raises(LogUnavailableError, match=dead_url):
            await create_topics(Settings(broker_url=dead_url))
