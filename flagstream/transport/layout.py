"""How the log lies in RocksDB: its keys and values."""

from struct import Struct

import msgspec

FORMAT = 1
FORMAT_KEY = b"format"

# One prefix for each kind of entry; `PREFIX_END` of a prefix is the next byte.
TOPIC = b"t"
PARTITION = b"p"
COMMITTED = b"c"
RECORD = b"r"
LATEST = b"k"
TOMBSTONE = b"x"

_record = Struct(">cIIQ")
_partition = Struct(">cII")
_tombstone = Struct(">cqIIQ")
_bounds = Struct(">QQQ")
_header = Struct(">qQi?")
_offset = Struct(">Q")


class TopicMeta(msgspec.Struct, frozen=True, kw_only=True):
    """
    A topic as it was created.

    Attributes:
        id: Never used again, so that records of a deleted topic cannot come back.
        epoch: How often a topic of this name was created before.
        is_deleted: Kept only for its epoch.
    """

    id: int
    partitions: int
    is_compacted: bool
    epoch: int
    is_deleted: bool = False


class Bounds(msgspec.Struct, frozen=True):
    """
    What a partition holds.

    Attributes:
        start: First offset kept.
        end: Next offset to be written.
        bytes_written: Since its creation, so that the size between two records is a difference.
    """

    start: int = 0
    end: int = 0
    bytes_written: int = 0

    def to_bytes(self) -> bytes:
        """Encode."""
        return _bounds.pack(self.start, self.end, self.bytes_written)

    @classmethod
    def from_bytes(cls, raw: bytes | None) -> "Bounds":
        """Decode; a partition that was never written is empty."""
        return cls() if raw is None else cls(*_bounds.unpack(raw))


class Stored(msgspec.Struct, frozen=True):
    """A record's value in RocksDB; *position_bytes* is ``bytes_written`` before it."""

    timestamp_ms: int
    position_bytes: int
    key: bytes
    value: bytes | None


def stored_bytes(timestamp_ms: int, position_bytes: int, key: bytes, value: bytes | None) -> bytes:
    """Encode a record's value; None is a tombstone."""
    header = _header.pack(timestamp_ms, position_bytes, len(key), value is not None)
    return header + key + (value or b"")


def stored(raw: bytes) -> Stored:
    """Decode what :func:`stored_bytes` made."""
    timestamp_ms, position_bytes, key_size, has_value = _header.unpack_from(raw)
    key_end = _header.size + key_size
    value = raw[key_end:] if has_value else None
    return Stored(timestamp_ms, position_bytes, raw[_header.size : key_end], value)


def record_key(topic_id: int, partition: int, offset: int) -> bytes:
    """Key of a record: those of a partition lie together in the order of their offsets."""
    return _record.pack(RECORD, topic_id, partition, offset)


def offset_of(record_key: bytes) -> int:
    """Read the offset out of what :func:`record_key` made."""
    return int.from_bytes(record_key[-_offset.size :])


def topic_key(name: str) -> bytes:
    """Key of a :class:`TopicMeta`."""
    return TOPIC + name.encode()


def bounds_key(topic_id: int, partition: int) -> bytes:
    """Key of a partition's :class:`Bounds`."""
    return _partition.pack(PARTITION, topic_id, partition)


def latest_key(topic_id: int, partition: int, key: bytes) -> bytes:
    """Key of the offset of a key's last record in a compacted topic."""
    return _partition.pack(LATEST, topic_id, partition) + key


def tombstone_key(timestamp_ms: int, topic_id: int, partition: int, offset: int) -> bytes:
    """Key that finds tombstones by age."""
    return _tombstone.pack(TOMBSTONE, timestamp_ms, topic_id, partition, offset)


def tombstone_parts(key: bytes) -> tuple[int, int, int]:
    """Read topic id, partition and offset out of what :func:`tombstone_key` made."""
    _, _, topic_id, partition, offset = _tombstone.unpack(key)
    return topic_id, partition, offset


def committed_key(group: str, topic: str, partition: int) -> bytes:
    """Key of a committed offset."""
    return COMMITTED + msgspec.json.encode((group, topic, partition))


def committed_parts(key: bytes) -> tuple[str, str, int]:
    """Read group, topic and partition out of what :func:`committed_key` made."""
    return msgspec.json.decode(key.removeprefix(COMMITTED), type=tuple[str, str, int])


def offset_bytes(offset: int) -> bytes:
    """Encode an offset."""
    return _offset.pack(offset)


def offset_from(raw: bytes) -> int:
    """Decode an offset."""
    return int.from_bytes(raw)


def prefix_end(prefix: bytes) -> bytes:
    """Key behind all keys that begin with *prefix*, whose last byte must not be 255."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


def topic_range(prefix: bytes, topic_id: int) -> tuple[bytes, bytes]:
    """Keys from the first of a topic on to the first of the next."""
    return _partition.pack(prefix, topic_id, 0), _partition.pack(prefix, topic_id + 1, 0)
