"""How groups were: a view of the updates themselves, by group and time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct
from time import monotonic

from rocksdict import BlockBasedOptions, Cache, Options

from flagstream.errors import UnavailableError, ViewError
from flagstream.flags import Steps
from flagstream.ports import KeptChange, KeptPage
from flagstream.rocks import rocks_options
from flagstream.settings import Settings
from flagstream.state.groups import GroupState
from flagstream.state.kept import (
    Beginning,
    Entry,
    GroupThen,
    KeptUpdate,
    as_kept,
    folded,
    group_then,
    property_changes,
)
from flagstream.topics import partition_of, record_key

from .store import Changes, ViewReader, ViewReplica

_FORMAT = "1"  # of the keys; another one is another directory
_MIB = 1024 * 1024
_DAY_MS = 86_400_000
_LOOK_S = 0.05
_moment = Struct(">QQ")
_MOMENT_BYTES = _moment.size
END = b"\xff" * _MOMENT_BYTES
_ENTRY, _BEGINNING = b"c", b"b"
READY = b"r"
"""There once everything was read that the log had."""

Place = tuple[int, str, str]
_Stored = tuple[int, int, KeptUpdate]
"""Time, version, and what was kept."""


def entries_of(key: bytes) -> bytes:
    """Make the beginning of the keys of all entries of a group, by the key of its records."""
    return _ENTRY + key


def moment(time_ms: int, version: int) -> bytes:
    """Make the end of an entry's key."""
    return _moment.pack(max(0, time_ms), version)


def moment_of(key: bytes) -> tuple[int, int]:
    """Read time and version out of an entry's key."""
    time_ms, version = _moment.unpack(key[-_MOMENT_BYTES:])
    return time_ms, version


def beginning_key(partition: int) -> bytes:
    """Make the key of where a partition begins."""
    return _BEGINNING + b"%d" % partition


def beginnings(store: ViewReader) -> dict[int, Beginning]:
    """Read where each partition begins."""
    found = store.items(_BEGINNING, _BEGINNING + b"\xff")
    return {int(key[1:]): Beginning.from_bytes(raw) for key, raw in found}


def folded_up_to(store: ViewReader, prefix: bytes, end: bytes) -> GroupState | None:
    """Fold what is kept of a group up to a moment."""
    found: list[Entry] = []
    for key, raw in store.backwards(prefix, end):
        kept = KeptUpdate.from_bytes(raw)
        found.append((moment_of(key)[1], kept))
        if kept.state is not None:
            break
    return folded(reversed(found))


def kept_states(store: ViewReader) -> Iterator[tuple[bytes, bytes]]:
    """Yield what all that is kept of each group leads to, as states are encoded, by record key."""
    start = _ENTRY
    while (first := next(store.items(start, _ENTRY + b"\xff"), None)) is not None:
        prefix = first[0][:-_MOMENT_BYTES]
        state = folded_up_to(store, prefix, END)
        if state is not None:
            yield prefix.removeprefix(_ENTRY), state.to_bytes()
        start = prefix + END + b"\0"


class KeptGroups:
    """Reads how groups were; implements :class:`flagstream.ports.GroupHistory`."""

    def __init__(
        self,
        store: ViewReader,
        *,
        history_days: float,
        is_ready: Callable[[], bool],
        clock_ms: Callable[[], int],
    ) -> None:
        """
        Prepare.

        Args:
            is_ready: Tells whether everything is in the store that is kept.
        """
        self._store = store
        self._history_ms = round(history_days * _DAY_MS)
        self._is_ready = is_ready
        self._clock_ms = clock_ms

    def oldest_ms(self) -> int:
        """Tell from when on it can be told how groups were."""
        found = self._beginnings().values()
        begun_ms = [each.time_ms for each in found if not each.is_whole]
        return max([self._clock_ms() - self._history_ms, *begun_ms])

    def group_at(self, place: Place, time_ms: int, present: GroupState | None) -> GroupThen:
        """Tell how a group was; *time_ms* is not before the oldest."""
        key = record_key(*place)
        kept = folded_up_to(self._store, entries_of(key), moment(time_ms, 2**64 - 1))
        return group_then(kept, present, self._beginning(key))

    def changes(
        self,
        place: Place,
        present: GroupState | None,
        *,
        after: tuple[int, int] | None,
        limit: int,
    ) -> KeptPage:
        """List what became of a group, the newest first."""
        key = record_key(*place)
        beginning, oldest_ms = self._beginning(key), self._clock_ms() - self._history_ms
        walk = self._backwards(key, after)
        listed: list[_Stored] = []
        base: list[Entry] = []
        has_more = False
        for time_ms, version, kept in walk:
            if len(listed) < limit and time_ms >= oldest_ms:
                listed.append((time_ms, version, kept))
                continue
            has_more = has_more or time_ms >= oldest_ms
            base.append((version, kept))
            if kept.state is not None:
                break
        changes: list[KeptChange] = []
        state = folded(reversed(base))
        before = group_then(state, present, beginning)
        for time_ms, version, kept in reversed(listed):
            state = folded([(version, kept)], state)
            then = group_then(state, present, beginning)
            properties = property_changes(kept.update, before, then)
            changes.append(KeptChange(time_ms, version, kept.update, properties))
            before = then
        return KeptPage(changes[::-1], listed[-1][:2] if has_more else None)

    def _backwards(self, key: bytes, after: tuple[int, int] | None) -> Iterator[_Stored]:
        end = END if after is None else moment(*after)
        for entry, raw in self._store.backwards(entries_of(key), end):
            time_ms, version = moment_of(entry)
            if (time_ms, version) != after:
                yield time_ms, version, KeptUpdate.from_bytes(raw)

    def _beginning(self, key: bytes) -> Beginning:
        found = self._beginnings()
        return found[partition_of(key, len(found))]

    def _beginnings(self) -> dict[int, Beginning]:
        found = beginnings(self._store) if self._is_ready() else {}
        if not found:
            raise UnavailableError("The history of groups is still being read.", retry_after_s=2)
        return found


def trimmed(store: ViewReader, write: Callable[[Changes], None], oldest_ms: int) -> Steps[int]:
    """
    Drop what is older than anybody may ask for, a group a step.

    Args:
        write: Writes changes.

    Returns:
        How many updates were dropped.
    """
    dropped, start = 0, _ENTRY
    while (first := next(store.items(start, _ENTRY + b"\xff"), None)) is not None:
        prefix = first[0][:-_MOMENT_BYTES]
        if moment_of(first[0])[0] < oldest_ms:
            changes = _trimmed(store, prefix, oldest_ms)
            if changes:
                write(changes)
                dropped += len(changes) - 1
        start = prefix + END + b"\0"
        yield
    return dropped


def _trimmed(store: ViewReader, prefix: bytes, oldest_ms: int) -> dict[bytes, bytes | None]:
    """Keep of what is older the last, with the state that all of it leads to."""
    old = list(store.items(prefix, prefix + moment(oldest_ms, 0)))
    if len(old) <= 1:
        return {}
    entries = [(moment_of(key)[1], KeptUpdate.from_bytes(raw)) for key, raw in old]
    state, last = folded(entries), entries[-1][1]
    changes: dict[bytes, bytes | None] = dict.fromkeys(key for key, _ in old)
    kept = KeptUpdate(update=last.update, state=None if state is None else as_kept(state))
    changes[old[-1][0]] = kept.to_bytes()
    return changes


class KeptReplica(ViewReplica):
    """What another process keeps, a twentieth of a second ago."""

    def __init__(self, settings: Settings, own_path: Path) -> None:
        """
        Prepare; it is opened by the first question.

        Args:
            own_path: Directory for what RocksDB writes about this replica alone.
        """
        super().__init__(kept_path(settings), own_path, kept_options)
        self._next_s = 0.0

    def is_ready(self) -> bool:
        """Look at what was written meanwhile; tell whether it is whole."""
        if monotonic() >= self._next_s:
            try:
                self.catch_up()
            except ViewError:
                self.recover()
            self._next_s = monotonic() + _LOOK_S
        try:
            return self.get(READY) is not None
        except UnavailableError:
            return False


def kept_path(settings: Settings) -> Path:
    """Where it is kept how groups were."""
    return settings.data_dir / "history" / _FORMAT


def kept_options() -> Options:
    """Make the options of RocksDB: few ask, and what it takes in memory is bounded."""
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(8 * _MIB))
    blocks.set_cache_index_and_filter_blocks(True)
    return rocks_options(blocks, write_buffer_bytes=4 * _MIB)
