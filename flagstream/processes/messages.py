"""What a worker and its API processes say to each other."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Raw, Struct

from flagstream.ports import Append, Position, TopicPartition
from flagstream.views import Marks


class Welcome(Struct, frozen=True):
    """
    What an API process reads from its standard input, as JSON, before anything else.

    Attributes:
        settings: All of them, with the port that was found and the first project's token.
        operator_key: Of this run of the server.
        name: Of this process, for its metrics and its directory.
        descriptor: Of its end of the channel.
        rates: Descriptor of the memory in which all of them count what they let in.
        is_first: Listens before the server is ready, so that it tells how it is; the others
            would be no use by then.
    """

    settings: Mapping[str, Any]
    operator_key: str
    name: str
    descriptor: int
    rates: int
    is_first: bool


class Landed(NamedTuple):
    """
    A record that another process has appended.

    Attributes:
        key: Under which what it changes is read.
    """

    key: bytes
    position: Position


class News(Struct, tag=True, array_like=True, frozen=True):
    """
    What has become of the views, and how far everything is.

    The first one to a process has the marks of all partitions; from then on the others follow
    without a gap. Several are one: keys joined, marks and *is_open* those of the last.

    Attributes:
        is_open: Whether requests are let in.
        marks: Of the partitions that have moved, as they are now.
        stale: Keys of the views that have changed.
        projects: Whose definitions or group types have changed.
        replaced: What was stored of the groups that have changed, by key; None for nothing. Told,
            as a process that looks for itself may be ahead of what it was told; to those that
            listen, and as far as it is not too much.
        landed: What came in at other processes; told before it is acknowledged there.
    """

    is_open: bool
    marks: Sequence[Marks] = ()
    stale: Sequence[bytes] = ()
    projects: Sequence[int] = ()
    landed: Sequence[Landed] = ()
    replaced: Sequence[tuple[bytes, bytes | None]] = ()


class Listening(Struct, tag=True, array_like=True, frozen=True):
    """What an API process tells: whether it is to know what was stored of groups that change."""

    is_listening: bool


class AppendRecords(Struct, tag=True, array_like=True, frozen=True):
    """
    Append as :class:`flagstream.ports.RecordSink` does; answered with the positions.

    Attributes:
        traceparent: Of the request's trace; "" for none.
    """

    appends: Sequence[Append]
    traceparent: str = ""


class ReadBounds(Struct, tag=True, array_like=True, frozen=True):
    """Read as :class:`flagstream.ports.LogReader` does; answered with pairs."""

    topics: Sequence[str]


class ReadRecords(Struct, tag=True, array_like=True, frozen=True):
    """Likewise; answered with the records."""

    topic_partition: TopicPartition
    start: int
    limit: int


class ReadMetrics(Struct, tag=True, array_like=True, frozen=True):
    """Asked by a process for those of all by name, and by the worker for those of one."""


class AwaitAnswers(Struct, tag=True, array_like=True, frozen=True):
    """Asked of an API process; answered with nothing once it answers requests."""


Request = AppendRecords | ReadBounds | ReadRecords | ReadMetrics | AwaitAnswers


class Call(Struct, tag=True, array_like=True, frozen=True):
    """A request, to be answered or refused under its number."""

    number: int
    request: Request


class Answer(Struct, tag=True, array_like=True, frozen=True):
    """What a request asked for."""

    number: int
    body: Raw


class Refusal(Struct, tag=True, array_like=True, frozen=True):
    """The log takes no writes, or cannot be read, for this reason."""

    number: int
    detail: str


Told = News | Listening
Message = Told | Call | Answer | Refusal
