"""What could not be folded: listed from the log, and appended to its topic once more."""

import sys
from collections.abc import Container, Sequence

from flagstream.errors import NotFoundError, RecordError
from flagstream.ports import Append, DeadLetter, LogRecord, RecordSink, TopicPartition, TopicReader
from flagstream.scan import scan
from flagstream.state.dead_letters import DeadLetter as Letter
from flagstream.topics import Topic, key_parts


class DeadLetterBox:
    """The dead letters of all projects, as :class:`flagstream.ports.DeadLetters`."""

    def __init__(self, reader: TopicReader, sink: RecordSink) -> None:
        self._reader = reader
        self._sink = sink

    async def list(self, project_id: int, *, after: str | None, limit: int) -> Sequence[DeadLetter]:
        """List a project's dead letters behind the id *after*, oldest first in each partition."""
        found: list[DeadLetter] = []
        partition, start = _place(after) if after else (0, 0)
        starts = {
            TopicPartition(Topic.DEAD_LETTERS, done): sys.maxsize for done in range(partition)
        }
        starts[TopicPartition(Topic.DEAD_LETTERS, partition)] = start
        async for record in scan(self._reader, Topic.DEAD_LETTERS, starts):
            letter = Letter.from_bytes(record.value or b"")
            if project_id == _project_of(letter):
                found.append(_shown(record, letter))
            if len(found) == limit:
                break
        return found

    async def replay(self, project_id: int, ids: Sequence[str]) -> int:
        """
        Append the records to their topics once more.

        Returns:
            How many; ids that name no dead letter of the project are left out.
        """
        known = await self._reader.bounds([Topic.DEAD_LETTERS])
        letters = [await self._letter(dead_letter_id, known) for dead_letter_id in ids]
        appends = [
            Append(Topic(letter.topic), letter.key, letter.value or b"")
            for letter in letters
            if letter is not None and project_id == _project_of(letter)
        ]
        await self._sink.append(appends)
        return len(appends)

    async def _letter(self, dead_letter_id: str, known: Container[TopicPartition]) -> Letter | None:
        partition, following = _place(dead_letter_id)
        at = TopicPartition(Topic.DEAD_LETTERS, partition)
        if at not in known:
            return None
        records = await self._reader.read(at, following - 1, 1)
        if not records or records[0].offset != following - 1:
            return None
        return Letter.from_bytes(records[0].value or b"")


def _place(dead_letter_id: str) -> tuple[int, int]:
    """Read the partition of an id, and the offset behind it."""
    try:
        partition, offset = map(int, dead_letter_id.split("-"))
    except ValueError:
        raise NotFoundError(f"There is no dead letter {dead_letter_id!r}.") from None
    return partition, offset + 1


def _shown(record: LogRecord, letter: Letter) -> DeadLetter:
    return DeadLetter(
        id=f"{record.partition}-{record.offset}",
        time_ms=record.timestamp_ms,
        topic=letter.topic,
        reason=letter.reason,
        value=letter.value or b"",
    )


def _project_of(letter: Letter) -> int | None:
    """
    Read the project in the key.

    A key that cannot be read names none; the server's log names the record's place.
    """
    try:
        project_id = key_parts(letter.key)[0]
    except (ValueError, TypeError, IndexError, KeyError, RecordError):
        return None
    return project_id if isinstance(project_id, int) else None
