"""RocksDB as we use it everywhere: raw bytes, compressed, bounded, written from the event loop."""

from pathlib import Path

from rocksdict import AccessType, BlockBasedOptions, DBCompressionType, Options, Rdict

from flagstream.errors import FlagstreamError, LogLockedError


def rocks_options(blocks: BlockBasedOptions, *, write_buffer_bytes: int) -> Options:
    """
    Make the options of a database.

    Args:
        blocks: With the cache; a Bloom filter is added.
        write_buffer_bytes: Of one buffer; there are up to four of them.
    """
    blocks.set_bloom_filter(10, block_based=False)
    options = Options(raw_mode=True)
    options.create_if_missing(create_if_missing=True)
    options.set_block_based_table_factory(blocks)
    options.set_write_buffer_size(write_buffer_bytes)
    # Writes are made on the event loop: a slow disk finds room to catch up before they stall.
    options.set_max_write_buffer_number(4)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_open_files(128)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(1024 * 1024)
    options.set_stats_dump_period_sec(0)
    return options


def open_rocks(path: Path, options: Options, failure: type[FlagstreamError]) -> Rdict:
    """
    Open or create a database.

    Args:
        failure: To be raised where it cannot be opened for another reason than its lock.

    Raises:
        LogLockedError: Another process holds the directory.
    """
    path.mkdir(parents=True, exist_ok=True)
    try:
        return Rdict(str(path), options=options)
    except Exception as error:
        if "lock" in str(error).lower():
            raise LogLockedError(f"{path}: another process holds this directory") from None
        raise failure(f"{path}: {error}") from error


def open_secondary(
    path: Path, own_path: Path, options: Options, failure: type[FlagstreamError]
) -> Rdict:
    """
    Open a database that another process writes, for reading.

    Args:
        own_path: Directory of what this one logs.
        failure: To be raised where it cannot be opened.
    """
    # The writer deletes files that this one may still have to read.
    options.set_max_open_files(-1)
    # With more, every catch-up starts as many threads, at thirty times its cost.
    options.set_max_file_opening_threads(1)
    own_path.mkdir(parents=True, exist_ok=True)
    try:
        return Rdict(str(path), options=options, access_type=AccessType.secondary(str(own_path)))
    except Exception as error:
        raise failure(f"{path}: {error}") from error
