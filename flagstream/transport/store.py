"""Faust's table store: a fold of the changelog, never ahead of it, joined and not replaced."""

import logging
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from faust.exceptions import ImproperlyConfigured
from faust.stores.base import SerializedStore
from faust.streams import current_event
from faust.types import TP, AppT, CollectionT, EventT
from rocksdict import WriteBatch

from flagstream.errors import LogUnavailableError

from .rocks import Database

Join = Callable[[bytes | None, bytes], bytes]

# The same as in Faust's own store, so that either can open the other's directory.
_OFFSET_KEY = b"__faust\0offset__"
_UNKNOWN: Any = object()

logger = logging.getLogger(__name__)


class TablePartition:
    """
    One partition of a table.

    A value goes to RocksDB once its changelog record is durable, in one batch with that record's
    offset. Were the value first, a replay after a crash would find it folded in already and
    write no changelog record: the table would be ahead of its changelog for good.

    Attributes:
        offset: Of the last changelog record that is in here; None for an empty table.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path)
        raw = self._database.get(_OFFSET_KEY)
        self.offset = None if raw is None else int(raw)
        self._unsaved: deque[tuple[bytes, bytes | None]] = deque()
        self._newest: dict[bytes, bytes | None] = {}
        self._in_changelog = 0
        self._is_broken = False

    def get(self, key: bytes) -> bytes | None:
        """Read a value, also one that is not saved yet."""
        value = self._newest.get(key, _UNKNOWN) if self._newest else _UNKNOWN
        return self._database.get(key) if value is _UNKNOWN else value

    def set(self, key: bytes, value: bytes | None) -> None:
        """Keep a value in memory until :meth:`save`; None deletes."""
        self._unsaved.append((key, value))
        self._newest[key] = value

    def save(self, offset: int, count: int) -> None:
        """Write the oldest *count* values, whose last changelog record is at *offset*."""
        self._in_changelog = min(self._in_changelog + count, len(self._unsaved))
        if self._in_changelog:
            self._advance(offset)
            self.is_saved()

    def _advance(self, offset: int) -> None:
        self.offset = offset if self.offset is None else max(self.offset, offset)

    def is_saved(self) -> bool:
        """Try to write what :meth:`save` could not; False while there is no room."""
        if not self._in_changelog:
            return True
        if self._is_broken and not self._database.recover():
            return False
        saved = [self._unsaved[index] for index in range(self._in_changelog)]
        if not self._write(dict(saved)):
            return False
        for _ in saved:
            self._unsaved.popleft()
        self._in_changelog = 0
        for key, value in saved:
            if self._newest.get(key, _UNKNOWN) is value:
                del self._newest[key]
        return True

    def _write(self, values: Mapping[bytes, bytes | None]) -> bool:
        batch = WriteBatch(raw_mode=True)
        for key, value in values.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        if self.offset is not None:
            batch.put(_OFFSET_KEY, str(self.offset).encode())
        was_broken = self._is_broken
        try:
            self._database.write(batch)
        except LogUnavailableError as error:
            self._is_broken = True
            if not was_broken:
                logger.exception("A table takes no writes", extra={"reason": str(error)})
        else:
            self._is_broken = False
        return not self._is_broken

    def join(self, changes: Iterable[tuple[bytes, bytes | None]], offset: int, join: Join) -> None:
        """
        Join changelog records in; the offset never goes back.

        Raises:
            LogUnavailableError: Disk full or broken.
        """
        joined: dict[bytes, bytes | None] = {}
        for key, theirs in changes:
            ours = joined[key] if key in joined else self.get(key)
            joined[key] = self._joined(key, ours, theirs, join)
        self._advance(offset)
        if not self._write(joined):
            raise LogUnavailableError(f"{self._database.path}: takes no writes")

    def _joined(
        self,
        key: bytes,  # noqa: ARG002 -- for tables that compare the two
        ours: bytes | None,
        theirs: bytes | None,
        join: Join,
    ) -> bytes | None:
        return None if theirs is None else join(ours, theirs)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the entries in the order of their keys, unsaved ones last."""
        newest = dict(self._newest)
        for key, value in self._database.items(b"", b"\xff" * 32):
            if key != _OFFSET_KEY and key not in newest:
                yield key, value
        yield from ((key, value) for key, value in newest.items() if value is not None)

    def close(self) -> None:
        """Close; values that are not saved are in the changelog."""
        self._database.close()


class Copy(NamedTuple):
    """
    What somebody holds of a changelog.

    Attributes:
        name: For people.
        ends: By partition, the offset before which everything is in *states*.
    """

    name: str
    ends: Mapping[int, int]
    states: Mapping[bytes, bytes]


def stored_states(tables_dir: Path, table: str) -> Iterator[Copy]:
    """Read the partitions of a table from the data directory of an app that is stopped."""
    for path in sorted(tables_dir.glob(f"v*/tables/{table}-*.db")):
        number = int(path.stem.removeprefix(f"{table}-"))
        partition = TablePartition(path)
        try:
            end = 0 if partition.offset is None else partition.offset + 1
            yield Copy(f"the table's partition {number}", {number: end}, dict(partition.items()))
        finally:
            partition.close()


def replace(_: bytes | None, theirs: bytes) -> bytes:
    """Take the changelog's value: what a table does that names no join."""
    return theirs


class Store(SerializedStore[bytes, bytes]):
    """
    A table's values as raw bytes, one RocksDB per partition.

    Option ``join`` of a table joins two values of a key; recovery uses it.
    """

    _new_partition: type[TablePartition] = TablePartition

    def __init__(
        self,
        url: Any,
        app: AppT,
        table: CollectionT,
        *,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(url, app, table, options=options, **kwargs)
        if (self.key_serializer, self.value_serializer) != ("raw", "raw"):
            raise ImproperlyConfigured(
                f"table {self.table_name}: expected key_type=bytes and value_type=bytes"
            )
        self._join: Join = (options or {}).get("join", replace)
        self._partitions: dict[int, TablePartition] = {}

    def _partition(self, number: int) -> TablePartition:
        partition = self._partitions.get(number)
        if partition is None:
            partition = self._partitions[number] = self._new_partition(self._path(number))
        return partition

    def _path(self, number: int) -> Path:
        directory: Path = self.app.conf.tabledir
        return directory / f"{self.table_name}-{number}.db"

    # -- the changelog

    def persisted_offset(self, tp: TP) -> int | None:
        """Read the offset of the last changelog record that is in the table."""
        return self._partition(tp.partition).offset

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Save the oldest unsaved value: Faust calls this once for each changelog record."""
        self.save(tp.partition, offset, 1)

    def save(self, partition: int, offset: int, count: int) -> None:
        """
        Save the oldest *count* values, whose last changelog record is at *offset*.

        Nothing is saved in a partition that has gone meanwhile: its next owner reads the changelog.
        """
        if partition in self._partitions:
            self._partitions[partition].save(offset, count)

    def is_saved(self) -> bool:
        """Try to write what could not be written; False while there is no room."""
        return all(partition.is_saved() for partition in self._partitions.values())

    def apply_changelog_batch(
        self,
        batch: Iterable[EventT[Any]],
        to_key: Callable[[Any], Any],  # noqa: ARG002 -- Faust's signature
        to_value: Callable[[Any], Any],  # noqa: ARG002 -- Faust's signature
    ) -> None:
        """Join changelog records in."""
        changes: dict[int, list[tuple[bytes, bytes | None]]] = {}
        offsets: dict[int, int] = {}
        for event in batch:
            message: Any = event.message
            changes.setdefault(message.partition, []).append((message.key, message.value))
            offsets[message.partition] = message.offset
        for number, records in changes.items():
            self._partition(number).join(records, offsets[number], self._join)

    async def on_rebalance(
        self,
        assigned: set[TP],  # noqa: ARG002 -- Faust's signature
        revoked: set[TP],
        newly_assigned: set[TP],
        generation_id: int = 0,  # noqa: ARG002 -- Faust's signature
    ) -> None:
        """Close the partitions that went and open those that came."""
        changelog = self.table.changelog_topic.get_topic_name()
        for tp in revoked:
            if tp.topic == changelog and tp.partition in self._partitions:
                self._partitions.pop(tp.partition).close()
        for tp in newly_assigned:
            if tp.topic == changelog:
                self._partition(tp.partition)

    def reset_state(self) -> None:
        """Delete the table's files; it is then rebuilt from its changelog."""
        self.close()
        for path in Path(self.app.conf.tabledir).glob(f"{self.table_name}-[0-9]*.db"):
            shutil.rmtree(path)

    async def stop(self) -> None:
        """Save what is in the changelog; agents that have yet to stop may go on."""
        await self.app.producer.flush()
        await super().stop()

    def close(self) -> None:
        """Give the files free, once the agents have stopped."""
        for partition in self._partitions.values():
            partition.close()
        self._partitions.clear()

    # -- a mapping of bytes to bytes

    def read(self, key: bytes) -> bytes | None:
        """Read a value; within an agent, from the partition of the event at hand."""
        event = current_event()
        if event is not None:
            return self._partition(event.message.partition).get(key)
        values = (partition.get(key) for partition in self._partitions.values())
        return next((value for value in values if value is not None), None)

    def _set(self, key: bytes, value: bytes | None) -> None:
        event = current_event()
        if event is None:
            raise TypeError(f"table {self.table_name}: only an agent can write to it")
        self._partition(event.message.partition).set(key, value)

    def _del(self, key: bytes) -> None:
        self._set(key, None)

    # Keys and values are bytes already, so without the detour through Faust's codecs.

    def __getitem__(self, key: bytes) -> bytes:
        value = self.read(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._set(key, value)

    def __delitem__(self, key: bytes) -> None:
        self._set(key, None)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and self.read(key) is not None

    def _get(self, key: bytes) -> bytes | None:
        return self.read(key)

    def _contains(self, key: bytes) -> bool:
        return self.read(key) is not None

    def _iteritems(self) -> Iterator[tuple[bytes, bytes]]:
        for partition in self._partitions.values():
            yield from partition.items()

    def _iterkeys(self) -> Iterator[bytes]:
        return (key for key, _ in self._iteritems())

    def _itervalues(self) -> Iterator[bytes | None]:
        return (value for _, value in self._iteritems())

    def _size(self) -> int:
        return sum(1 for _ in self._iteritems())

    async def backup_partition(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: the changelog is the copy."""
        raise NotImplementedError("a table is rebuilt from its changelog")

    def restore_backup(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: the changelog is the copy."""
        raise NotImplementedError("a table is rebuilt from its changelog")

    def _clear(self) -> None:
        raise NotImplementedError("a table is emptied key by key, so that its changelog is too")
