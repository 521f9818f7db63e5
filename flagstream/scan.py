"""Reads of a whole topic as it is now."""

from collections.abc import AsyncIterator, Mapping

from flagstream.ports import LogRecord, TopicPartition, TopicReader

_PAGE = 1_000


async def scan(
    reader: TopicReader, topic: str, starts: Mapping[TopicPartition, int] | None = None
) -> AsyncIterator[LogRecord]:
    """
    Yield the records of a topic, one partition after the other, each in the order of its offsets.

    Args:
        starts: Where to begin in some partitions; the others from their first record.
    """
    bounds = await reader.bounds([topic])
    for place in sorted(bounds):
        first, end = bounds[place]
        position = max(first, (starts or {}).get(place, first))
        while position < end:
            records = await reader.read(place, position, _PAGE)
            if not records:
                break
            for record in records:
                yield record
            position = records[-1].offset + 1
