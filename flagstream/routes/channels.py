"""Addresses of the streams that pages listen to: each is of one context, and tells nobody which."""

import base64
from binascii import Error as BadBase64
from functools import lru_cache
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from flagstream.errors import UnauthenticatedError

KEY_BYTES = 32
MAX_BODY_BYTES = 2048
"""Of a larger context there is no stream: not every proxy takes its address."""
_DAY_MS = 86_400_000
_VALID_DAYS = 2  # the present one and the next, so a day at least


class Channel(NamedTuple):
    """
    What a stream is of.

    Attributes:
        day: On which it was written, since 1970.
        body: Of the request that it was an answer to.
        runtime: From which that came.
    """

    project_id: int
    day: int
    runtime: str | None
    body: bytes


class Channels:
    """
    Writes and reads addresses; every process of a server knows those of the others.

    They are encrypted, as what a page says of its user is nobody else's; they last a day or two,
    and are the same all day, so that a page keeps its stream.

    Source:
        AES-SIV, RFC 5297: nothing is to be drawn, and equal channels have equal addresses.
    """

    def __init__(self, key: bytes) -> None:
        """Take a key of :data:`KEY_BYTES`, the same in all processes."""
        self._cipher = AESSIV(key)
        self._written = lru_cache(maxsize=2048)(self._write)

    def write(self, project_id: int, body: bytes, runtime: str | None, now_ms: int) -> str | None:
        """Write the address of the stream for a request; None where it would be too long."""
        if len(body) > MAX_BODY_BYTES:
            return None
        return self._written(Channel(project_id, now_ms // _DAY_MS, runtime, body))

    def read(self, address: str, now_ms: int) -> Channel:
        """
        Read an address.

        Raises:
            UnauthenticatedError: It was not written here, or too long ago.
        """
        try:
            sealed = base64.urlsafe_b64decode(f"{address}===")
            channel = msgspec.msgpack.decode(self._cipher.decrypt(sealed, None), type=Channel)
        except (BadBase64, ValueError, InvalidTag, msgspec.DecodeError):
            raise UnauthenticatedError("The channel is unknown.") from None
        if not 0 <= now_ms // _DAY_MS - channel.day < _VALID_DAYS:
            raise UnauthenticatedError("The channel has expired: ask for flags again.")
        return channel

    def _write(self, channel: Channel) -> str:
        sealed = self._cipher.encrypt(msgspec.msgpack.encode(channel), None)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
