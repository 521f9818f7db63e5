"""What HTTP needs from the rest: protocols, and the values that cross them."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from flagstream.flags import CompiledFlags, CompiledProject, LocalDefinitions, Sdk
from flagstream.state.definitions import Kind
from flagstream.state.group_types import GroupTypesState
from flagstream.state.groups import GroupState
from flagstream.state.history import ChangeState
from flagstream.state.schedules import Schedule
from flagstream.topics import Topic


class Append(NamedTuple):
    """A record to be appended to a topic; its key decides the partition."""

    topic: Topic
    key: bytes
    value: bytes


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Position(NamedTuple):
    """Where a record stands in the log."""

    topic: str
    partition: int
    offset: int

    @property
    def topic_partition(self) -> TopicPartition:
        """Where its offset counts."""
        return TopicPartition(self.topic, self.partition)


class LogRecord(NamedTuple):
    """
    A record as read from the log.

    Attributes:
        value: None in a compacted topic means that the key was deleted.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes | None


class RecordSink(Protocol):
    """Where capture writes."""

    async def append(self, appends: Sequence[Append]) -> Sequence[Position]:
        """
        Append records; return once they are durable, in the order given.

        Raises:
            LogUnavailableError: The log takes no writes now; nothing may be acknowledged.
        """
        ...


class TopicReader(Protocol):
    """Reads what topics hold now."""

    async def bounds(self, topics: Sequence[str]) -> Mapping[TopicPartition, tuple[int, int]]:
        """Read per partition the first offset kept and the next one to be written."""
        ...

    async def read(
        self, topic_partition: TopicPartition, start: int, limit: int
    ) -> Sequence[LogRecord]:
        """Read at most *limit* records from offset *start* on."""
        ...


class LogReader(TopicReader, Protocol):
    """Reads topics without committing anything."""

    async def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Read the agents' next offsets; those of partitions where one was committed."""
        ...

    def follow(self, positions: Mapping[TopicPartition, int]) -> AsyncIterator[Sequence[LogRecord]]:
        """
        Read for ever from *positions*, in batches that are never empty.

        Offsets grow within a partition; compaction leaves gaps. Only durable records are read, so
        that a follower's position is never ahead of a log that was killed.
        """
        ...


class Progress(Protocol):
    """How far agents and views are behind the log."""

    def is_visible(self, position: Position) -> bool:
        """Tell whether the state that follows from this record is in the views."""
        ...

    async def wait_visible(self, positions: Sequence[Position], timeout_s: float) -> bool:
        """Wait until all are visible; False once *timeout_s* has passed."""
        ...

    def is_settled(self, topic: str, key: bytes) -> bool:
        """
        Tell whether the views show what other processes are known to have written to a key.

        Args:
            key: Of a record; of a session update the one of its distinct id.
        """
        ...


class SeenEvents(Protocol):
    """Which events the log has had lately."""

    def has(self, project_id: int, uuid: str) -> bool:
        """Tell whether an event is in the log for certain, and what follows from it as well."""
        ...


class Admission(Protocol):
    """Refuses work before a backlog grows."""

    def admit(self) -> None:
        """
        Let one capture request in.

        Raises:
            OverloadedError: The agents lag too far behind.
            UnavailableError: The server is recovering or stopping.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """
    The person behind a distinct id.

    Attributes:
        distinct_id: The id that the person's updates go to.
        is_identified: Was identified, so must not be merged into another.
        recent: Version by event uuid of the latest updates.
        hash_keys: By flag key the id that the person is bucketed by, stored first and for good.
        distinct_ids: All ids of the person that are known, the root first, of very many the
            first.
        created_at_ms: When the person was first heard of.
    """

    distinct_id: str
    properties: Mapping[str, Any]
    is_identified: bool
    recent: Mapping[str, int]
    hash_keys: Mapping[str, str]
    distinct_ids: Sequence[str]
    created_at_ms: int


class GroupPage(NamedTuple):
    """
    Groups in the order of their encoded keys.

    Attributes:
        after: The key behind which the list goes on, also where no group was found so far; None
            where the list has ended.
    """

    groups: Sequence[tuple[str, GroupState]]
    after: str | None


class Change(NamedTuple):
    """A change of a definition, as its history has it."""

    id: str
    state: ChangeState


class PersonPage(NamedTuple):
    """Persons in the order of their encoded ids, likewise."""

    persons: Sequence[Person]
    after: str | None


class Search(NamedTuple):
    """
    Which groups or persons are looked for.

    Attributes:
        part: Of the key, of an id or of a property, in any case; "" for all.
        properties: That are looked at.
    """

    part: str
    properties: Sequence[str] = ()


class StateView(Protocol):
    """
    Reads of group, session and person state: microseconds, no await, never from a Faust table.

    What is returned is shared with a cache and must not be changed. A group's properties, and a
    person, are the same object only as long as nothing in them changes: what follows from them may
    be kept beside them.
    """

    def group(self, project_id: int, group_type: str, group_key: str) -> GroupState | None:
        """Read one group with versions; None where it was never seen."""
        ...

    def group_properties(
        self, project_id: int, group_type: str, group_key: str
    ) -> Mapping[str, Any] | None:
        """Read the properties that are set; None where the group was never seen."""
        ...

    def groups(
        self, project_id: int, group_type: str, *, search: Search, after: str | None, limit: int
    ) -> GroupPage:
        """
        List groups.

        One call examines a bounded number of them, so a page of a search may be short, or empty,
        and yet not be the last.

        Args:
            after: The key behind which the list goes on.
        """
        ...

    def active_groups(
        self, project_id: int, distinct_id: str, session_id: str | None, now_ms: int
    ) -> Mapping[str, str]:
        """Read the remembered groups by type; empty where nothing fresh is remembered."""
        ...

    def session_groups(
        self, project_id: int, session_id: str, distinct_id: str
    ) -> Mapping[str, str] | None:
        """
        Read the map that a session carried last for an id, if that is also what the id remembers.

        None where an update of the session would change an answer.
        """
        ...

    def person(self, project_id: int, distinct_id: str) -> Person | None:
        """Read the person, merges followed; None where nothing is known."""
        ...

    def persons(
        self, project_id: int, *, search: Search, after: str | None, limit: int
    ) -> PersonPage:
        """List persons, each by the id that its updates go to; bounded as :meth:`groups`."""
        ...

    def history(self, project_id: int, kind: Kind, name: str) -> Sequence[Change]:
        """Read all changes of a definition, oldest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSettings:
    """
    What a project can be told through the API.

    Attributes:
        bucketing: Of new flags, ``murmur3`` or ``sha1``.
        remember_active_groups: Fill groups that a flag request leaves out from the session's.
        timezone: Name of the IANA time zone in which dates without an offset are read.
        property_matching_version: How ``exact`` compares true and false: 1 by truth, where
            whatever is not true is false; 2 by their texts, as everything else.
        is_quota_limited: No flag is evaluated; clients are told that the quota is used up.
    """

    name: str = "Default project"
    bucketing: str = "murmur3"
    remember_active_groups: bool = True
    timezone: str = "UTC"
    property_matching_version: int = 1
    is_quota_limited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSnapshot:
    """
    Everything about a project that a flag request needs, immutable, swapped as a whole.

    Attributes:
        flag_rows: Every flag's row as stored, deleted ones included, by flag key.
        cohort_rows: Every cohort's row as stored, deleted ones included, by id.
        group_type_rows: What people say of group types, by their names.
        schedules: Changes of flags that are to come, or came, by their ids.
        flags: The compiled flags that are active.
        project: What they were compiled from.
        local_definitions: The bodies for local evaluation, encoded; their hashes are in *etags*.
    """

    settings: ProjectSettings
    group_types: GroupTypesState
    flag_rows: Mapping[str, Mapping[str, Any]]
    cohort_rows: Mapping[int, Mapping[str, Any]]
    group_type_rows: Mapping[str, Mapping[str, Any]]
    schedules: Mapping[str, Schedule]
    flags: CompiledFlags
    project: CompiledProject
    local_definitions: LocalDefinitions
    etags: Mapping[Sdk, str]


class Catalog(Protocol):
    """The compiled definitions of every project."""

    def project(self, project_id: int) -> ProjectSnapshot:
        """Read the present snapshot; an empty one for a project without definitions."""
        ...

    def project_ids(self) -> Collection[int]:
        """List the projects that have definitions or group types."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """
    A tenant.

    Attributes:
        token: Public: writes events and reads flags, nothing else.
        secret_key: Reads and changes everything of the project.
    """

    id: int
    token: str
    secret_key: str = field(default="", repr=False)


class Projects(Protocol):
    """Who a token or key belongs to."""

    def by_token(self, token: str) -> Project | None:
        """Find the project of a public token."""
        ...

    def by_secret_key(self, key: str) -> Project | None:
        """Find the project of a secret key, in constant time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """
    A record that could not be folded.

    Attributes:
        id: Where it stands among the dead letters; sorts in the order of listing.
        topic: Where it came from.
        value: The record as it came.
    """

    id: str
    time_ms: int
    topic: str
    reason: str
    value: bytes


class DeadLetters(Protocol):
    """What could not be folded, to be looked at and folded again."""

    async def list(self, project_id: int, *, after: str | None, limit: int) -> Sequence[DeadLetter]:
        """List a project's dead letters behind the id *after*, oldest first."""
        ...

    async def replay(self, project_id: int, ids: Sequence[str]) -> int:
        """Append the records to their topics once more; unknown ids are left out of the count."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestionWarning:
    """
    An event that was refused, as a sample for whoever runs the project.

    Attributes:
        field: What was wrong with it, dotted.
        event: Its beginning as text, cut to a readable length.
    """

    time_ms: int
    field: str
    detail: str
    event: str


class Warnings(Protocol):
    """The latest refused events of each project, in memory."""

    def add(self, project_id: int, warning: IngestionWarning) -> None:
        """Keep a sample; the oldest give way."""
        ...

    def latest(self, project_id: int) -> Sequence[IngestionWarning]:
        """Read the samples that are kept, newest first."""
        ...
