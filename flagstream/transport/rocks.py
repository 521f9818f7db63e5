"""RocksDB as log and tables use it: raw bytes, little memory, back after a full disk."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DbClosedError,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from flagstream.errors import LogUnavailableError
from flagstream.rocks import open_rocks, rocks_options

WRITE_BUFFER_BYTES = 4 * 1024 * 1024

# Of all databases of the process together: a table has one database per partition.
_CACHE = Cache(32 * 1024 * 1024)
_WRITE_BUFFERS = WriteBufferManager(48 * 1024 * 1024, allow_stall=False)

_UNSYNCED = WriteOptions()
_SYNCED = WriteOptions()
_SYNCED.sync = True


class Database:
    """
    One RocksDB directory.

    RocksDB refuses every write after a failed one until it is opened again, also once there is
    room: :meth:`recover` does that. Reads go on meanwhile.
    """

    get: Callable[[bytes], bytes | None]

    def __init__(self, path: Path) -> None:
        """
        Open or create.

        Raises:
            LogLockedError: Another process holds the directory.
            LogUnavailableError: It cannot be opened.
        """
        self.path = path
        self._attach(_open(path))

    def _attach(self, rdict: Rdict) -> None:
        self._rdict = rdict
        self.get = rdict.get

    def _refuse(self, _: bytes) -> None:
        raise LogUnavailableError(f"{self.path}: cannot be opened at the moment")

    def items(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the entries from *start* on, as long as their keys are below *stop*."""
        # The iterator points into `bounds`, which must therefore live as long: a generator.
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(stop)
        try:
            entries: Any = self._rdict.items(from_key=start, read_opt=bounds)
        except DbClosedError:
            raise LogUnavailableError(f"{self.path}: cannot be opened at the moment") from None
        yield from entries

    def write(self, batch: WriteBatch, *, sync: bool = False) -> None:
        """
        Write all of *batch* or nothing.

        Raises:
            LogUnavailableError: Disk full or broken; :meth:`recover` has to be called.
        """
        try:
            self._rdict.write(batch, _SYNCED if sync else _UNSYNCED)
        except Exception as error:
            raise LogUnavailableError(f"{self.path}: {error}") from error

    def sync(self) -> None:
        """
        Bring everything written so far to the disk.

        Raises:
            LogUnavailableError: Disk full or broken; :meth:`recover` has to be called.
        """
        try:
            self._rdict.flush_wal(sync=True)
        except Exception as error:
            raise LogUnavailableError(f"{self.path}: {error}") from error

    def checkpoint(self, directory: Path) -> None:
        """
        Write a copy of what is in here at one moment, made of links to the same files.

        Raises:
            LogUnavailableError: Disk full or broken, or *directory* is there.
        """
        try:
            # Before, as it lets other threads go on: within a checkpoint they would wait for it.
            self._rdict.flush(wait=True)
            Checkpoint(self._rdict).create_checkpoint(str(directory))
        except Exception as error:
            raise LogUnavailableError(f"{directory}: {error}") from error

    def recover(self) -> bool:
        """
        Open the directory again after a failed write.

        Returns:
            False where there is still no room: opening writes out what the write-ahead log holds.
        """
        if shutil.disk_usage(self.path).free < 2 * WRITE_BUFFER_BYTES:
            return False
        self.close()
        try:
            self._attach(_open(self.path))
        except LogUnavailableError:
            self.get = self._refuse
            return False
        return True

    def close(self) -> None:
        """Close; what was written stays, also where closing complains about an earlier write."""
        with suppress(Exception):
            self._rdict.close()


def _open(path: Path) -> Rdict:
    return open_rocks(path, _options(), LogUnavailableError)


def _options() -> Options:
    blocks = BlockBasedOptions()
    blocks.set_block_cache(_CACHE)
    # Indexes and filters count as cache and not beside it, and are partitioned: a whole one is
    # larger than a shard of the cache and would be read from the file for every look-up.
    blocks.set_cache_index_and_filter_blocks(v=True)
    blocks.set_index_type(BlockBasedIndexType.two_level_index_search())
    blocks.set_partition_filters(size=True)
    blocks.set_pin_top_level_index_and_filter(v=True)
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(v=True)
    options = rocks_options(blocks, write_buffer_bytes=WRITE_BUFFER_BYTES)
    options.set_write_buffer_manager(_WRITE_BUFFERS)
    return options
