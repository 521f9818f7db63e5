"""What HTTP needs from the rest: protocols, and the values that cross them."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, Self

from flagstream.flags import CompiledFlags, CompiledProject, Difference, LocalDefinitions, Sdk
from flagstream.state.access import Key, KeyUse, OldToken, Revocation, Scope, allowed
from flagstream.state.definitions import Kind
from flagstream.state.group_types import GroupTypesState
from flagstream.state.groups import GroupState, GroupUpdate
from flagstream.state.history import ChangeState
from flagstream.state.ingestion_warnings import WarningSample
from flagstream.state.kept import GroupThen, PropertyChange
from flagstream.state.schedules import Schedule
from flagstream.topics import Topic
from flagstream.warning_kinds import WarningKind


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


class KeptChange(NamedTuple):
    """
    An update of a group, as it is kept.

    Attributes:
        time_ms: When the log had it.
        properties: What it really changed.
    """

    time_ms: int
    version: int
    update: GroupUpdate
    properties: Sequence[PropertyChange]


class KeptPage(NamedTuple):
    """
    Updates of a group, the newest first.

    Attributes:
        after: Time and version behind which the list goes on; None at its end.
    """

    changes: Sequence[KeptChange]
    after: tuple[int, int] | None


class GroupHistory(Protocol):
    """
    How groups were, as far back as that is kept.

    Reads raise :class:`UnavailableError` until everything is read that is kept.
    """

    def oldest_ms(self) -> int:
        """Tell from when on it can be told how groups were."""
        ...

    def group_at(
        self, place: tuple[int, str, str], time_ms: int, present: GroupState | None
    ) -> GroupThen:
        """
        Tell how a group was.

        Args:
            place: Project, type and key.
            time_ms: Not before the oldest.
            present: How it is now.
        """
        ...

    def changes(
        self,
        place: tuple[int, str, str],
        present: GroupState | None,
        *,
        after: tuple[int, int] | None,
        limit: int,
    ) -> KeptPage:
        """List what became of a group."""
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


class Remembered(NamedTuple):
    """
    The groups that a user acted for last.

    Attributes:
        time_ms: Of the event that said so.
        distinct_id: That carried them: the user's own, or one that was merged into it.
        session_id: None where that cannot be told any more.
    """

    groups: Mapping[str, str]
    time_ms: int
    distinct_id: str
    session_id: str | None


class PropertyWrite(NamedTuple):
    """Which write of a person's property counts: of which of the ids, and its version."""

    distinct_id: str
    version: int


class Search(NamedTuple):
    """
    Which groups or persons are looked for.

    Attributes:
        part: Of the key, of an id or of a property, in any case; "" for all.
        properties: That are looked at.
    """

    part: str
    properties: Sequence[str] = ()


class EvaluationView(Protocol):
    """
    Reads of state that a flag's answer follows from: microseconds, no await.

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

    def active_groups(
        self, project_id: int, distinct_id: str, session_id: str | None, now_ms: int
    ) -> Mapping[str, str]:
        """Read the remembered groups by type; empty where nothing fresh is remembered."""
        ...

    def remembered(
        self, project_id: int, distinct_id: str, session_id: str | None, now_ms: int
    ) -> Remembered | None:
        """Tell where :meth:`active_groups` has its answer from; None where it is empty."""
        ...

    def person(self, project_id: int, distinct_id: str) -> Person | None:
        """Read the person, merges followed; None where nothing is known."""
        ...

    def person_write(self, project_id: int, distinct_id: str, name: str) -> PropertyWrite | None:
        """Tell where :meth:`person` has a property from; None where it is not set."""
        ...


class StateView(EvaluationView, Protocol):
    """Reads of group, session and person state, never from a Faust table."""

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

    def session_groups(
        self, project_id: int, session_id: str, distinct_id: str
    ) -> Mapping[str, str] | None:
        """
        Read the map that a session carried last for an id, if that is also what the id remembers.

        None where an update of the session would change an answer.
        """
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
        max_events_per_s: Instead of the server's setting of this name; None for that one, 0 for no
            limit. The other rates likewise.
    """

    name: str = "Default project"
    bucketing: str = "murmur3"
    remember_active_groups: bool = True
    timezone: str = "UTC"
    property_matching_version: int = 1
    is_quota_limited: bool = False
    max_events_per_s: float | None = None
    max_flag_requests_per_s: float | None = None
    max_api_requests_per_s: float | None = None
    max_definition_requests_per_s: float | None = None


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


Place = tuple[int, str, str]
"""A group: its project, its type and its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """
    What has changed in what requests read.

    Attributes:
        groups: The groups that have, with what was stored before, encoded; None where nothing was.
        untold: Likewise groups, of which is not known what was stored before.
        persons: Ids, each with its project, of whom something has: what is known of them, or which
            groups they were active in.
        flags: By project, the flags that may answer otherwise as definitions changed.
        projects: Whose definitions, settings or group types have.
    """

    groups: Mapping[Place, bytes | None] = field(default_factory=dict[Place, bytes | None])
    untold: Collection[Place] = ()
    persons: Collection[tuple[int, str]] = ()
    flags: Mapping[int, Mapping[str, Difference]] = field(
        default_factory=dict[int, Mapping[str, Difference]]
    )
    projects: Collection[int] = ()


class ChangeSource(Protocol):
    """Tells what has changed in the views, once it can be read."""

    def listen(self, listener: Callable[[Changes], None]) -> Callable[[], None]:
        """Call *listener* with all changes from now on, until what is returned is called."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """
    A tenant.

    Attributes:
        token: Public: writes events and reads flags, nothing else.
        old_tokens: That it has replaced, and that are still taken for a while.
        is_archived: Neither tokens nor keys are taken; only the operator reads it.
        created_at_ms: None of the first one, which the settings give.
    """

    id: int
    token: str
    old_tokens: Sequence[OldToken] = ()
    is_archived: bool = False
    created_at_ms: int | None = None
    created_by: str = ""


class Projects(Protocol):
    """All projects, and who a token belongs to."""

    def by_token(self, token: str) -> Project | None:
        """Find the project of a public token."""
        ...

    def by_id(self, project_id: int) -> Project | None:
        """Find a project, archived or not."""
        ...

    def all(self) -> Sequence[Project]:
        """List them by their ids, archived ones included."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretKey:
    """
    A secret key, as far as anybody knows it but its holder.

    Attributes:
        scopes: As given.
        allows: As follows from these.
        hash: By argon2id.
        end: Its last characters.
        expires_at_ms: As it was made; None for never.
        replaced_at_ms: When a successor ends it; None without one.
        revoked_at_ms: None while it is not.
        used_at_ms: To the hour; None for never.
    """

    id: str
    project_id: int
    label: str
    scopes: Sequence[str]
    allows: frozenset[Scope]
    hash: str = field(repr=False)
    end: str
    created_at_ms: int
    created_by: str
    expires_at_ms: int | None = None
    replaced_at_ms: int | None = None
    revoked_at_ms: int | None = None
    used_at_ms: int | None = None

    @classmethod
    def of(
        cls,
        project_id: int,
        key_id: str,
        key: Key,
        *,
        replaced_at_ms: int | None = None,
        revocation: Revocation | None = None,
        use: KeyUse | None = None,
    ) -> Self:
        """Put together what the log has of a key."""
        return cls(
            id=key_id,
            project_id=project_id,
            label=key.label,
            scopes=key.scopes,
            allows=allowed(key.scopes),
            hash=key.hash,
            end=key.end,
            created_at_ms=key.created_at_ms,
            created_by=key.created_by,
            expires_at_ms=key.expires_at_ms,
            replaced_at_ms=replaced_at_ms,
            revoked_at_ms=None if revocation is None else revocation.revoked_at_ms,
            used_at_ms=None if use is None else use.used_at_ms,
        )

    @property
    def ends_at_ms(self) -> int | None:
        """When it ends by itself, or for a successor, whichever comes first; None for never."""
        ends = (self.expires_at_ms, self.replaced_at_ms)
        return min((each for each in ends if each is not None), default=None)

    def has_expired(self, now_ms: int) -> bool:
        """Tell whether that was before."""
        ends_at_ms = self.ends_at_ms
        return ends_at_ms is not None and ends_at_ms <= now_ms


class SecretKeys(Protocol):
    """The secret keys of all projects."""

    def key(self, key_id: str) -> SecretKey | None:
        """Find a key, ended or not."""
        ...

    def keys(self, project_id: int) -> Sequence[SecretKey]:
        """List those of a project, the newest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """
    Who asks, known by a secret key.

    Attributes:
        author: What history shows of the key.
        key: None for the operator, who may do everything in every project.
    """

    author: str
    key: SecretKey | None = None

    def allows(self, scope: Scope) -> bool:
        """Tell whether the key has a scope, or one that implies it."""
        return self.key is None or scope in self.key.allows


class Callers(Protocol):
    """Who a secret key belongs to."""

    async def caller(self, secret: str) -> Caller:
        """
        Find who presents a key.

        Raises:
            UnauthenticatedError: The key is unknown, revoked or has expired.
            OverloadedError: Too many keys that nobody has were tried.
        """
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


class IngestionWarning(NamedTuple):
    """
    Something that was cut, dropped or refused.

    Attributes:
        field: Which, dotted.
        expected: What would have been taken as it was.
        got: What came, by its type and size: never a value.
        event: The name of the event, where it is one.
    """

    kind: WarningKind
    field: str
    expected: str
    got: str
    event: str | None = None
    distinct_id: str | None = None
    uuid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningSummary:
    """
    What was counted of one kind.

    Attributes:
        count_24h: Within the last day, by whole hours.
        count: As far back as the log is kept.
        samples: The newest first.
    """

    kind: WarningKind
    count_24h: int
    count: int
    first_ms: int
    last_ms: int
    samples: Sequence[WarningSample]


class Warnings(Protocol):
    """What was cut, dropped or refused, by all processes."""

    def add(self, project_id: int, warning: IngestionWarning, count: int = 1) -> None:
        """Count, and keep a sample of the first."""
        ...

    async def summaries(self, project_id: int) -> Sequence[WarningSummary]:
        """
        Sum up by kinds, the last seen first.

        Raises:
            LogUnavailableError: The log cannot be read or written now.
        """
        ...

    async def close(self) -> None:
        """Write what is only in memory."""
        ...
