"""Which events the log has had lately, by uuid: what knows a client's late retry."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from struct import error as StructError  # noqa: N812 -- a class
from time import monotonic
from typing import Self

import msgspec
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompactionStyle,
    FifoCompactOptions,
    Options,
    Rdict,
)

from flagstream.errors import UnavailableError, ViewError
from flagstream.ports import LogReader, LogRecord, TopicPartition
from flagstream.rocks import rocks_options
from flagstream.settings import Settings
from flagstream.topics import Topic, key_parts

from .follower import Follower, Following, has_failed
from .store import Changes, ViewReader, ViewReplica, ViewStore

_FORMAT = "1"  # of the keys; another one is another directory
_MIB = 1024 * 1024
_MAX_BYTES = 32 * 1024 * _MIB
# Who was away for longer, or comes with an empty disk, knows only the latest of each partition.
_MAX_BEHIND = 100_000
_LOOK_S = 0.05
_HOUR_S = 3_600
_BEGINNING, _UUID_CHARS = b'{"uuid":"', 36
_head = Struct(">cQ")


class _Sighting(msgspec.Struct, frozen=True):
    uuid: str


@dataclass(slots=True)
class Sightings:
    """A run of events, ready to be written at once, as :class:`.merging.Merge` of changelogs."""

    changes: dict[bytes, bytes | None] = field(default_factory=dict)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    skipped: list[LogRecord] = field(default_factory=list)

    def add(self, record: LogRecord) -> None:
        """Note one event; one that cannot be decoded only moves the position."""
        self.positions[TopicPartition(record.topic, record.partition)] = record.offset + 1
        try:
            self.changes[_seen(int(key_parts(record.key)[0]), _uuid(record.value or b""))] = b""
        except (ValueError, LookupError, TypeError, StructError):
            self.skipped.append(record)


def _uuid(event: bytes) -> str:
    # As we write it: decoding costs more, the more properties there are.
    if event.startswith(_BEGINNING):
        uuid = event[len(_BEGINNING) : len(_BEGINNING) + _UUID_CHARS].decode()
    else:
        uuid = msgspec.json.decode(event, type=_Sighting).uuid
    if len(uuid) != _UUID_CHARS:
        raise ValueError(uuid)
    return uuid


def _seen(project_id: int, uuid: str) -> bytes:
    # Not by uuid.UUID, which costs more than the look-up.
    return _head.pack(b"e", project_id) + bytes.fromhex(uuid.replace("-", ""))


class SightingStore(ViewStore):
    """One directory, from which the oldest files are dropped by age."""

    def __init__(self, path: Path, keep_s: int) -> None:
        self._keep_s = keep_s
        super().__init__(path, _options)
        self._positions = self.positions()

    def write(self, changes: Changes, positions: Mapping[TopicPartition, int]) -> None:
        """Write all positions again and again: the old ones are dropped with their files."""
        self._positions.update(positions)
        super().write(changes, self._positions)

    def reset(self) -> None:
        """Drop everything."""
        super().reset()
        self._positions = {}

    def _open(self) -> Rdict:
        rdict = super()._open()
        rdict.set_options({"ttl": str(self._keep_s)})
        return rdict


def _options() -> Options:
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(32 * _MIB))
    # Filters take memory by the number of events, unless the cache bounds them.
    blocks.set_cache_index_and_filter_blocks(True)
    options = rocks_options(blocks, write_buffer_bytes=16 * _MIB)
    options.set_compaction_style(DBCompactionStyle.fifo())
    fifo = FifoCompactOptions()
    fifo.max_table_files_size = _MAX_BYTES
    options.set_fifo_compaction_options(fifo)
    # What FIFO compaction asks for where it drops by age.
    options.set_max_open_files(-1)
    return options


def _has(store: ViewReader, project_id: int, uuid: str) -> bool:
    try:
        return store.get(_seen(project_id, uuid)) is not None
    except UnavailableError:
        # Better twice than lost.
        return False


class SeenEvents:
    """Follows the events of the log, and knows those of the last hours by their uuids."""

    def __init__(self, reader: LogReader, store: SightingStore) -> None:
        self._store = store
        follower = Follower(
            store, reader, [Topic.EVENTS.value], Sightings, _nobody_waits, max_behind=_MAX_BEHIND
        )
        self._following = Following(follower, "events-follower")

    @classmethod
    async def open(cls, settings: Settings, reader: LogReader) -> Self:
        """
        Open the directory.

        Raises:
            LogLockedError: Another process holds it.
            ViewError: It cannot be opened: disk full or not writable.
        """
        keep_s = round(settings.deduplicate_hours * _HOUR_S)
        return cls(reader, await asyncio.to_thread(SightingStore, seen_path(settings), keep_s))

    def has(self, project_id: int, uuid: str) -> bool:
        """Tell whether the log has had an event; False also while that cannot be read."""
        return _has(self._store, project_id, uuid)

    def start(self) -> None:
        """Begin to follow."""
        self._following.start(has_failed)

    async def ready(self) -> None:
        """Wait until everything is known that was in the log at the start."""
        await self._following.ready()

    async def stop(self) -> None:
        """Stop following, and close."""
        await self._following.stop()
        self._store.close()


class SeenReplica:
    """What the :class:`SeenEvents` of another process know, a twentieth of a second ago."""

    def __init__(
        self, settings: Settings, own_path: Path, clock_s: Callable[[], float] = monotonic
    ) -> None:
        """
        Prepare; it is opened by the first question.

        Args:
            own_path: Directory for what RocksDB writes about this replica alone.
        """
        self._store = ViewReplica(seen_path(settings), own_path, _options)
        self._clock_s = clock_s
        self._next_s = 0.0

    def has(self, project_id: int, uuid: str) -> bool:
        """Tell whether the log has had an event, likewise."""
        if self._clock_s() >= self._next_s:
            self._catch_up()
        return _has(self._store, project_id, uuid)

    def close(self) -> None:
        """Close."""
        self._store.close()

    def _catch_up(self) -> None:
        try:
            self._store.catch_up()
        except ViewError:
            self._store.recover()
        self._next_s = self._clock_s() + _LOOK_S


def seen_path(settings: Settings) -> Path:
    """Where it is kept which events the log has had."""
    return settings.data_dir / "seen" / _FORMAT


async def _nobody_waits(_: Sightings) -> None:
    """Publish nothing: who asks reads the store."""
