"""What was cut, dropped or refused, as the log has it: counted, with a few samples."""

import msgspec

from .records import Record


class WarningSample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One thing that was cut, dropped or refused.

    Attributes:
        field: Which, dotted.
        expected: What would have been taken as it was.
        got: What came, by its type and size: never a value.
        event: The name of the event.
    """

    time_ms: int
    field: str
    expected: str
    got: str
    event: str | None = None
    distinct_id: str | None = None
    uuid: str | None = None


class WarningCounts(Record, frozen=True):
    """
    What one process counted of one kind in a project, since it wrote the last such record.

    Attributes:
        kind: A :class:`flagstream.warning_kinds.WarningKind`, or what a later release has.
        first_ms: When the first came, Unix milliseconds; *last_ms* likewise.
        samples: Of the first.
    """

    kind: str
    count: int
    first_ms: int
    last_ms: int
    samples: list[WarningSample] = []
