"""Dead letters and refused events."""

from typing import Annotated

from msgspec import Meta, Struct

from .common import Count, UnixMs


class DeadLetter(Struct, kw_only=True):
    """
    A record that could not be folded.

    Attributes:
        topic: Where it came from.
        value: As it came.
    """

    id: str
    time_ms: UnixMs
    topic: str
    reason: str
    value: str


class DeadLetters(Struct):
    """
    Dead letters, oldest first.

    Attributes:
        next_after: What `after` has to be for the next page; null at the end.
    """

    next_after: str | None
    results: list[DeadLetter]


class DeadLetterIds(Struct):
    """Dead letters that are to be folded once more."""

    ids: Annotated[list[str], Meta(min_length=1, max_length=1_000)]


class Replayed(Struct):
    """How many were folded once more; unknown ids are left out."""

    replayed: Count


class IngestionWarning(Struct, kw_only=True):
    """
    An event that was refused, as a sample.

    Attributes:
        field: What was wrong, dotted.
        event: Its beginning.
    """

    time_ms: UnixMs
    field: str
    detail: str
    event: str


class IngestionWarnings(Struct):
    """Samples of refused events, newest first."""

    results: list[IngestionWarning]
