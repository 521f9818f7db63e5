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
    DbClosedError,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from flagstream.errors import LogLockedError, LogUnavailableError

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
    path.mkdir(parents=True, exist_ok=True)
    try:
        return Rdict(str(path), options=_options())
    except Exception as error:
        if "lock" in str(error).lower():
            raise LogLockedError(f"{path}: another process holds this directory") from None
        raise LogUnavailableError(f"{path}: {error}") from error


def _options() -> Options:
    tables = BlockBasedOptions()
    tables.set_block_cache(_CACHE)
    tables.set_bloom_filter(10, block_based=False)
    # Indexes and filters count as cache and not beside it, and are partitioned: a whole one is
    # larger than a shard of the cache and would be read from the file for every look-up.
    tables.set_cache_index_and_filter_blocks(v=True)
    tables.set_index_type(BlockBasedIndexType.two_level_index_search())
    tables.set_partition_filters(size=True)
    tables.set_pin_top_level_index_and_filter(v=True)
    tables.set_pin_l0_filter_and_index_blocks_in_cache(v=True)
    options = Options(raw_mode=True)
    options.create_if_missing(create_if_missing=True)
    options.set_block_based_table_factory(tables)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_write_buffer_manager(_WRITE_BUFFERS)
    # Writes are made on the event loop: a slow disk finds room to catch up before they stall.
    options.set_max_write_buffer_number(4)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_open_files(64)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(1024 * 1024)
    options.set_stats_dump_period_sec(0)
    return options
