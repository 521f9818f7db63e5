"""Messages in a stream of bytes: each behind its length, four bytes, the highest first."""

from collections.abc import Iterator

_HEAD_BYTES = 4


def framed(message: bytes) -> bytes:
    """Put the length in front."""
    return len(message).to_bytes(_HEAD_BYTES) + message


class Frames:
    """Takes messages out of a stream, however it was cut on the way."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take in what has arrived, and yield the messages that are complete with it."""
        self._rest += data
        start = 0
        while (end := self._end(start)) <= len(self._rest):
            yield bytes(self._rest[start + _HEAD_BYTES : end])
            start = end
        del self._rest[:start]

    def _end(self, start: int) -> int:
        """Where the message at *start* ends; behind its head as long as that is not complete."""
        head = self._rest[start : start + _HEAD_BYTES]
        length = int.from_bytes(head) if len(head) == _HEAD_BYTES else 0
        return start + _HEAD_BYTES + length
