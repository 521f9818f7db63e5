"""How clients of Kafka reach the cluster and are let in."""

import asyncio
import ssl
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flagstream.errors import SettingsError
from flagstream.settings import Settings

SCHEME = "kafka://"
_CLOSE_TIMEOUT_S = 1.0
# A broker that stands still, or behind a broken network, is given up after so long; the cluster
# has then chosen other leaders for its partitions.
REQUEST_TIMEOUT_S = 10.0


def bootstrap_servers(url: str) -> list[str]:
    """Take the servers out of ``kafka://host:port[;host:port…]``."""
    return [server.removeprefix(SCHEME) for server in url.split(";")]


def connection(settings: Settings) -> Mapping[str, Any]:
    """
    Make the arguments that every client of aiokafka is given.

    Raises:
        SettingsError: A certificate cannot be read; the message names the setting.
    """
    security = settings.kafka_security
    arguments: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers(settings.broker_url),
        "security_protocol": security.upper(),
        "request_timeout_ms": round(REQUEST_TIMEOUT_S * 1_000),
    }
    if security.endswith("ssl"):
        arguments["ssl_context"] = _ssl_context(settings)
    if security.startswith("sasl"):
        arguments["sasl_mechanism"] = settings.kafka_sasl_mechanism
        arguments["sasl_plain_username"] = settings.kafka_username
        arguments["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return arguments


async def disconnected(closing: Awaitable[None]) -> None:
    """
    Wait until a client of aiokafka is closed, which has nothing left to do.

    Over TLS both sides say goodbye. A broker that has just sent something else is waited for in
    vain, for half a minute.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await closing


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
    except OSError as error:
        raise _unreadable("kafka_ca_file", settings.kafka_ca_file, error) from None
    certificate = settings.kafka_certificate_file
    if certificate:
        try:
            context.load_cert_chain(certificate)
        except OSError as error:
            raise _unreadable("kafka_certificate_file", certificate, error) from None
    return context


def _unreadable(setting: str, file: str, error: OSError) -> SettingsError:
    reason = error.strerror or error
    return SettingsError(f"{setting}: expected a file of PEM, got {str(Path(file))!r}: {reason}")
