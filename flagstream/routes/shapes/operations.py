"""Dead letters, and what was cut or refused."""

from typing import Annotated

from msgspec import Meta, Struct

from flagstream.warning_kinds import Outcome, WarningKind

from .common import Count, Page, Time, UnixMs


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


class WarningSample(Struct, kw_only=True):
    """
    One thing that was cut, dropped or refused.

    Attributes:
        field: Which, dotted; a setting where it was too much at once.
        got: What came, by its type and size: never a value.
        event: The name of the event.
    """

    time: Time
    field: str
    expected: str
    got: str
    event: str | None
    distinct_id: str | None
    uuid: str | None


class IngestionWarning(Struct, kw_only=True):
    """
    One kind of what was cut, dropped or refused.

    Attributes:
        what_to_do: In a sentence or two; `docs` says more.
        docs: Where, in flagstream's repository.
        count_24h: Within the last day, by whole hours.
        count: As far back as the log is kept.
        samples: The newest first.
    """

    kind: WarningKind
    outcome: Outcome
    what_to_do: str
    docs: str
    count_24h: Count
    count: Count
    first_seen: Time
    last_seen: Time
    samples: Annotated[list[WarningSample], Meta(max_length=10)]


class IngestionWarnings(Page[IngestionWarning]):
    """What was cut, dropped or refused, the last seen first."""
