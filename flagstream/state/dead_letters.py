"""A record that could not be folded, with the reason and where it came from."""

from .records import Record


class DeadLetter(Record, frozen=True):
    """
    One dead letter.

    Attributes:
        topic: Source topic; its record's *partition*, *offset* and time follow.
        key: Of the source record, as it was; JSON carries it in base64.
        value: Likewise; None where the record had none.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    reason: str
    key: bytes = b""
    value: bytes | None = None
