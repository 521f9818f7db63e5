"""The views on disk: one RocksDB with the tables' records, the index and the follower's offsets."""

import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DbClosedError,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
)

from flagstream.errors import LogLockedError, UnavailableError, ViewError
from flagstream.ports import TopicPartition
from flagstream.rocks import open_rocks, open_secondary, rocks_options
from flagstream.topics import Table, key_parts, record_key

from .layout import ORDER_END, POSITION, range_of, table_key

logger = logging.getLogger(__name__)

_MIB = 1024 * 1024
_CLOSED = "The views cannot be read at the moment."
Changes = Mapping[bytes, bytes | None]


class ViewReader(ABC):
    """
    The views as requests read them, from the event loop.

    While they cannot be read, reads raise :class:`UnavailableError`.
    """

    get: Callable[[bytes], bytes | None]
    _rdict: Rdict

    def __init__(self, path: Path, make_options: Callable[[], Options] | None = None) -> None:
        self._path = path
        self._make_options = make_options or _options

    @abstractmethod
    def _open(self) -> Rdict: ...

    def items(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the entries with *start* <= key < *stop*."""
        # The iterator points into `bounds`, which must therefore live as long: a generator.
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(stop)
        try:
            entries: Any = self._rdict.items(from_key=start, read_opt=bounds)
        except DbClosedError:
            raise UnavailableError(_CLOSED, retry_after_s=1) from None
        yield from entries

    def states(self, table: Table, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the records of a table behind a key, as they are in its changelog."""
        start, stop = range_of(table)
        for key, state in self.items(max(start, table_key(table, after + b"\0")), stop):
            yield key[1:], state

    def last(self, prefix: bytes) -> bytes | None:
        """Read the value of the last index entry of one distinct id."""
        entry = self.before(prefix, ORDER_END)
        return None if entry is None else entry[1]

    def last_key(self, prefix: bytes) -> bytes | None:
        """Read the key of the last index entry, likewise."""
        entry = self.before(prefix, ORDER_END)
        return None if entry is None else entry[0]

    def before(self, prefix: bytes, end: bytes) -> tuple[bytes, bytes] | None:
        """Read the last entry whose key begins with *prefix* and is at most *prefix* + *end*."""
        return next(self.backwards(prefix, end), None)

    def backwards(self, prefix: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the entries from there on in the other direction."""
        try:
            entries = self._rdict.iter()
        except DbClosedError:
            raise UnavailableError(_CLOSED, retry_after_s=1) from None
        entries.seek_for_prev(prefix + end)
        while entries.valid() and (key := entries.key()).startswith(prefix):
            yield key, entries.value()
            entries.prev()

    def recover(self) -> bool:
        """Open again after a failure; False where that fails as well."""
        self.close()
        with suppress(ViewError):
            self._attach()
            return True
        return False

    def close(self) -> None:
        """Close; what was written stays."""
        self.get = self._refuse
        # Nothing to close, or closing complains about a write that failed before.
        with suppress(AttributeError, Exception):
            self._rdict.close()

    def _attach(self) -> None:
        self._rdict = self._open()
        self.get = self._rdict.get

    def _refuse(self, _: bytes) -> bytes | None:
        raise UnavailableError(_CLOSED, retry_after_s=1)


class ViewStore(ViewReader):
    """
    One directory, written by one follower.

    Everything in it follows from the changelogs, so whatever is wrong with it is cured by dropping
    it and reading them again. After a failed write RocksDB refuses all others until
    :meth:`recover`.
    """

    def __init__(self, path: Path, make_options: Callable[[], Options] | None = None) -> None:
        """
        Open or create; a corrupt directory is dropped.

        Args:
            make_options: Of RocksDB, unless for what tables hold.

        Raises:
            LogLockedError: Another process holds the directory.
        """
        super().__init__(path, make_options)
        try:
            self._attach()
        except LogLockedError:
            raise
        except ViewError as error:
            # Not for a full disk: that passes, and reading everything anew would only add to it.
            if "corruption" not in str(error).lower():
                raise
            logger.warning("views are corrupt and are rebuilt", extra={"detail": str(error)})
            self.reset()

    def positions(self) -> dict[TopicPartition, int]:
        """Read the next offset of every changelog partition that was followed."""
        positions = {}
        for key, offset in self.items(POSITION, POSITION + b"\xff"):
            topic, partition = key_parts(key.removeprefix(POSITION))
            positions[TopicPartition(str(topic), int(partition))] = int(offset)
        return positions

    def write(self, changes: Changes, positions: Mapping[TopicPartition, int]) -> None:
        """
        Write changes and the offsets that they lead to: all or nothing.

        Args:
            changes: None deletes.

        Raises:
            ViewError: Disk full or broken.
        """
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        for topic_partition, offset in positions.items():
            batch.put(POSITION + record_key(*topic_partition), b"%d" % offset)
        try:
            self._rdict.write(batch)
        except Exception as error:
            raise ViewError(f"{self._path}: {error}") from error

    def reset(self) -> None:
        """Drop everything."""
        self.close()
        shutil.rmtree(self._path, ignore_errors=True)
        self._attach()

    def _open(self) -> Rdict:
        return open_rocks(self._path, self._make_options(), ViewError)


class ViewReplica(ViewReader):
    """The directory of a :class:`ViewStore` of another process, as far as :meth:`catch_up` went."""

    def __init__(
        self, path: Path, own_path: Path, make_options: Callable[[], Options] | None = None
    ) -> None:
        """
        Prepare; it cannot be read before :meth:`recover`.

        Args:
            own_path: Directory for what RocksDB writes about this replica alone.
        """
        super().__init__(path, make_options)
        self._own_path = own_path
        self.get = self._refuse

    def catch_up(self) -> None:
        """
        Let reads see everything that was written before.

        Raises:
            ViewError: It cannot be read; :meth:`recover` has to be called.
        """
        try:
            self._rdict.try_catch_up_with_primary()
        except Exception as error:
            raise ViewError(f"{self._path}: {error}") from error

    def _open(self) -> Rdict:
        return open_secondary(self._path, self._own_path, self._make_options(), ViewError)


def _options() -> Options:
    blocks = BlockBasedOptions()
    # Without the index and filter blocks: one of a large file does not fit into a shard of the
    # cache and would be read from disk for every get. A million groups have 10 MB of them.
    blocks.set_block_cache(Cache(32 * _MIB))
    options = rocks_options(blocks, write_buffer_bytes=16 * _MIB)
    # More than the write rate of a rebuild needs: a stalled write would hold up the event loop.
    options.set_level_zero_slowdown_writes_trigger(40)
    options.set_level_zero_stop_writes_trigger(80)
    return options
