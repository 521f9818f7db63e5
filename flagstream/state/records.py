"""Encoding of the records in topics and tables: checked while decoding, canonical when encoded."""

from typing import Any, Self

import msgspec

from flagstream.errors import RecordError

_encoder = msgspec.json.Encoder(order="deterministic")
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


class Record(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """
    Base of everything that is written to the log.

    Unknown members are ignored, so that the previous release can read what this one wrote. The
    garbage collector has nothing to do with records: they are trees, and millions of them.
    """

    def to_bytes(self) -> bytes:
        """Encode; equal records give equal bytes."""
        return _encoder.encode(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """
        Decode and check.

        Raises:
            RecordError: Naming the member and what was expected.
        """
        decoder = _decoders.get(cls)
        if decoder is None:
            decoder = _decoders[cls] = msgspec.json.Decoder(cls)
        try:
            record: Self = decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RecordError(f"{cls.__name__}: {error}") from None
        return record


class State(Record, frozen=True):
    """
    Base of the values of tables.

    Attributes:
        version: Highest version folded in.
    """

    version: int
