"""What the log of a stopped server holds, and what is put there past its checks."""

from collections import Counter
from pathlib import Path

from flagstream.ports import Append, LogRecord
from flagstream.scan import scan
from flagstream.state.events import EventRecord
from flagstream.topics import Topic
from flagstream.transport.options import LogOptions
from flagstream.transport.reader import EmbeddedReader
from flagstream.transport.registry import close_log, open_log
from flagstream.transport.sink import EmbeddedSink


async def stored_records(data_dir: Path, topic: str) -> list[LogRecord]:
    """Read all records of a topic."""
    log = open_log(LogOptions(directory=data_dir / "log"))
    try:
        return [record async for record in scan(EmbeddedReader(log), topic)]
    finally:
        await close_log(log)


async def stored_uuids(data_dir: Path) -> Counter[str]:
    """Count the events by uuid."""
    records = await stored_records(data_dir, Topic.EVENTS)
    return Counter(EventRecord.from_bytes(record.value or b"").uuid for record in records)


async def stored_events(data_dir: Path) -> set[str]:
    """Read the uuids of all events."""
    return set(await stored_uuids(data_dir))


async def append_raw(data_dir: Path, topic: Topic, key: bytes, value: bytes) -> None:
    """Append a record as it is."""
    log = open_log(LogOptions(directory=data_dir / "log"))
    try:
        await EmbeddedSink(log).append([Append(topic, key, value)])
    finally:
        await close_log(log)
