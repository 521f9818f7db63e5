"""A broker that is reached by TLS, with a name and a password."""

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.filters import group_filters
from tests.kafka import Kafka
from tests.server import free_port

pytestmark = pytest.mark.broker
FLAG = "enterprise-only"
ACME = {"organization": "acme"}
PASSWORD = "a-password-of-tests"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


def write_keystore(path, certificate):
    """Write a PEM that Kafka reads: the key as PKCS #8, then the certificate."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    )


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def secure_url(tmp_path_factory, authority):
    """The URL of the listener that asks for a password over TLS."""
    folder, port = tmp_path_factory.mktemp("secure"), free_port()
    write_keystore(folder / "broker.pem", authority.issue_cert("127.0.0.1"))
    listener = "listener.name.sasl_ssl"
    properties = {
        "listeners": f"SASL_SSL://127.0.0.1:{port}",
        "advertised.listeners": f"SASL_SSL://127.0.0.1:{port}",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL"
        ),
        "sasl.enabled.mechanisms": "PLAIN",
        f"{listener}.plain.sasl.jaas.config": f'{PLAIN} required user_flagstream="{PASSWORD}";',
        f"{listener}.ssl.keystore.type": "PEM",
        f"{listener}.ssl.keystore.location": folder / "broker.pem",
    }
    file = folder / "more.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    kafka = Kafka(folder / "data", file)
    kafka.up()

    yield f"kafka://127.0.0.1:{port}"

    kafka.down()


@pytest.fixture
def secure(tmp_path, authority, secure_url):
    """The settings that let a server in."""
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return {
        "broker_url": secure_url,
        "kafka_security": "sasl_ssl",
        "kafka_sasl_mechanism": "PLAIN",
        "kafka_username": "flagstream",
        "kafka_password": PASSWORD,
        "kafka_ca_file": ca_file,
    }


class TestSecurity:
    def test_server(self, make_server, secure):
        """
        Topics, agents, followers and producers are let in: a group's property decides a flag.
        """
        server = make_server(**secure)
        server.start()
        server.create_flag(FLAG, group_filters(plan="enterprise"))
        server.set_group("organization", "acme", plan="enterprise")

        assert server.flags("user-1", ACME)[FLAG]["enabled"]
        assert 0 == server.terminate()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"kafka_password": "another"},
            {"kafka_security": "sasl_plaintext"},
            {"kafka_ca_file": ""},
        ],
    )
    def test_who_is_not_let_in_is_told(self, make_server, secure, wrong):
        """
        A wrong password, no TLS or an authority that is not trusted stop the start; nothing of the
        password is printed.
        """
        server = make_server(**{**secure, **wrong})

        ran = server.cli("serve")

        assert 1 == ran.returncode
        assert "Error: kafka" in ran.stderr
        assert PASSWORD not in ran.stdout + ran.stderr
