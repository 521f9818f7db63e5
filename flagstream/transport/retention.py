"""What the log may forget: old or too many records, and deletions that everybody has seen."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

from rocksdict import WriteBatch

from . import layout
from .partition import Partition
from .rocks import Database

# A follower or table that was away for longer would keep a deleted key.
TOMBSTONE_MS = 24 * 3_600_000
# After a start, time for followers to read what they missed however long the process was down.
CATCH_UP_MS = 3_600_000

_MAX_TOMBSTONES = 10_000


def first_kept(
    partitions: Iterable[Partition],
    *,
    committed: Callable[[Partition], int | None],
    oldest_ms: int,
    max_bytes: int,
) -> Mapping[Partition, int]:
    """
    Find the first offset to be kept of each partition that has something to lose.

    Nothing is lost that a group has yet to read. Where the size is too large, the largest
    partitions lose first.

    Args:
        committed: Lowest offset from which a group goes on; None where there is no group.
        max_bytes: Of all *partitions* together.
    """
    expiring = [p for p in partitions if not p.meta.is_compacted and p.bounds.start < p.bounds.end]
    share = _share([size_bytes(p) for p in expiring], max_bytes)
    starts = {}
    for partition in expiring:
        unread = committed(partition)
        by_age = _first(partition, oldest_ms, lambda entry: entry.timestamp_ms)
        position_bytes = partition.bounds.bytes_written - share
        by_size = _first(partition, position_bytes, lambda entry: entry.position_bytes)
        start = max(by_age, by_size)
        start = start if unread is None else min(start, unread)
        if start > partition.bounds.start:
            starts[partition] = start
    return starts


def size_bytes(partition: Partition) -> int:
    """Tell how much a partition keeps, before compression."""
    if partition.bounds.start == partition.bounds.end:
        return 0
    return partition.bounds.bytes_written - partition.entry(partition.bounds.start).position_bytes


def _share(sizes: Sequence[int], limit: int) -> int:
    """Find how much each may have, so that small ones keep all and large ones have the same."""
    for count, size in zip(range(len(sizes), 0, -1), sorted(sizes), strict=True):
        if size * count > limit:
            return limit // count
        limit -= size
    return max(sizes, default=0)


def _first(partition: Partition, least: int, field: Callable[[layout.Stored], int]) -> int:
    offsets = range(partition.bounds.start, partition.bounds.end)
    found = bisect_left(offsets, least, key=lambda offset: field(partition.entry(offset)))
    return partition.bounds.start + found


def stage_tombstones(
    batch: WriteBatch,
    database: Database,
    partitions: Mapping[tuple[int, int], Partition],
    oldest_ms: int,
) -> None:
    """
    Put into *batch* that deletions older than *oldest_ms* go, some thousands at most.

    Args:
        partitions: By topic id and number.
    """
    old = database.items(layout.tombstone_key(0, 0, 0, 0), layout.tombstone_key(oldest_ms, 0, 0, 0))
    for (key, _), _ in zip(old, range(_MAX_TOMBSTONES), strict=False):
        topic_id, number, offset = layout.tombstone_parts(key)
        partition = partitions.get((topic_id, number))
        if partition is None:
            batch.delete(key)
        elif offset != partition.bounds.end - 1:
            # The last record stays: a table has recovered when it has read that one.
            partition.stage_forgotten(batch, offset)
            batch.delete(key)
