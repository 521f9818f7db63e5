"""``flagstream backup`` and ``restore``: all that was acknowledged, in files that are checked."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import flagstream
from flagstream.checkpoints import borrowed
from flagstream.errors import BackupError
from flagstream.keys import KEYS_FILE, sync_directory
from flagstream.settings import Settings

MANIFEST = "manifest.json"
_LOG = "log"
_FORMAT = 1
_UNFINISHED = ".unfinished"
_OF_FILE_SYSTEMS = {"lost+found"}
_CHUNK_BYTES = 1024 * 1024
# Left free for whatever else writes to that disk, which may be the server itself.
_SPARE_BYTES = 64 * 1024 * 1024


class StoredFile(msgspec.Struct, frozen=True):
    """A file as it was when the backup was made."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a backup consists of; one without it is unfinished.

    Attributes:
        version: Of the flagstream that made it.
        created_at: All that had been acknowledged then is in it, ISO 8601.
        files: By their paths within it.
    """

    format: int
    version: str
    created_at: str
    files: Mapping[str, StoredFile]

    @property
    def bytes(self) -> int:
        """How large it is."""
        return sum(file.bytes for file in self.files.values())


def back_up(settings: Settings, target: Path, *, max_bytes_per_s: float) -> Manifest:
    """
    Copy all that a running server has acknowledged so far, and read it once more.

    That is its log, which is one RocksDB and so of one moment: records, the states that were folded
    from them, and how far that is. Tables and views follow from these.

    Args:
        target: A directory that is empty, or is made.

    Raises:
        BackupError: It cannot be made, in words for who asked for it.
    """
    if settings.broker_url:
        raise BackupError(
            "On Kafka there is nothing to back up here: all state is in topics, which are copied "
            "with Kafka's own tools. docs/operations/backup.md says which"
        )
    created_at = datetime.now(UTC).isoformat(timespec="seconds")
    with borrowed(settings.data_dir) as checkpoint:
        sources = {f"{_LOG}/{path.name}": path for path in checkpoint.iterdir()}
        keys = settings.data_dir / KEYS_FILE
        if keys.exists():
            sources[KEYS_FILE] = keys
        with _whole(target, sources.values()) as unfinished:
            files = _copied(sources, unfinished, _Pace(max_bytes_per_s).wait)
            manifest = Manifest(
                format=_FORMAT, version=flagstream.__version__, created_at=created_at, files=files
            )
            with _new_file(unfinished / MANIFEST) as descriptor:
                _write(descriptor, msgspec.json.format(msgspec.json.encode(manifest)))
            check(unfinished)
    return manifest


def restore(backup: Path, data_dir: Path) -> Manifest:
    """
    Make a data directory of a backup; its next server has all that is in it, and goes on.

    No version is given twice: offsets, states and epochs are of the same moment.

    Raises:
        BackupError: The directory is not empty, or the backup is not what was made; then nothing
            of it is restored.
    """
    manifest = check(backup)
    sources = {name: backup / name for name in manifest.files}
    with _whole(data_dir, sources.values()) as unfinished:
        _compare(_copied(sources, unfinished, _at_once), manifest, backup)
    return manifest


def check(backup: Path) -> Manifest:
    """
    Read a backup through, and compare it with what was written.

    Raises:
        BackupError: Naming the file that is missing or differs.
    """
    manifest = _manifest(backup / MANIFEST)
    try:
        files = {name: _stored(_chunks(backup / name)) for name in manifest.files}
    except OSError as error:
        raise BackupError(f"{error.filename}: is damaged: {error.strerror}") from None
    _compare(files, manifest, backup)
    return manifest


def _manifest(path: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BackupError(f"{path}: is missing: this is no backup, or an unfinished one") from None
    except OSError as error:
        raise BackupError(f"{path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise BackupError(f"{path}: is damaged: {error}") from None
    if manifest.format > _FORMAT:
        raise BackupError(
            f"{path}: has format {manifest.format}, as flagstream {manifest.version} writes it; "
            f"this version reads {_FORMAT}"
        )
    if f"{_LOG}/CURRENT" not in manifest.files:
        raise BackupError(f"{path}: is damaged: it names no log")
    return manifest


def _compare(files: Mapping[str, StoredFile], manifest: Manifest, backup: Path) -> None:
    for name, file in files.items():
        if file != manifest.files[name]:
            raise BackupError(f"{backup / name}: is damaged: it is not what was written")


@contextmanager
def _whole(target: Path, sources: Iterable[Path]) -> Iterator[Path]:
    """
    Give a directory within *target*, whose entries take their places once all are written.

    Raises:
        BackupError: *target* is not empty, or its disk has no room for *sources*.
    """
    unfinished = target / _UNFINISHED
    try:
        _begin(target, unfinished, sum(path.stat().st_size for path in sources))
        yield unfinished
        _sync_directories(unfinished)
        # By name: the log comes after the keys, and the manifest, which makes it valid, at the end.
        for path in sorted(unfinished.iterdir()):
            path.rename(target / path.name)
        unfinished.rmdir()
        sync_directory(target)
    except OSError as error:
        raise BackupError(f"{error.filename or target}: {error.strerror}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _begin(target: Path, unfinished: Path, needed_bytes: int) -> None:
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Of one that was killed.
    shutil.rmtree(unfinished, ignore_errors=True)
    found = {path.name for path in target.iterdir()} - _OF_FILE_SYSTEMS
    if found:
        raise BackupError(f"{target}: expected an empty directory, found {min(found)}")
    free_bytes = shutil.disk_usage(target).free
    if needed_bytes + _SPARE_BYTES > free_bytes:
        raise BackupError(
            f"{target}: {needed_bytes:,} bytes are to be written, {free_bytes:,} are free; "
            f"expected {_SPARE_BYTES:,} to be left"
        )
    unfinished.mkdir(mode=0o700)


def _copied(
    sources: Mapping[str, Path], target: Path, wait: Callable[[int], None]
) -> dict[str, StoredFile]:
    """
    Copy files to their names in *target*.

    Args:
        wait: Called with the bytes that are about to be written.
    """
    files = {}
    for name, source in sources.items():
        path = target / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with _new_file(path) as descriptor:
            files[name] = _stored(_written(descriptor, _chunks(source), wait))
    return files


def _stored(chunks: Iterable[bytes]) -> StoredFile:
    hashed, size = hashlib.sha256(), 0
    for chunk in chunks:
        hashed.update(chunk)
        size += len(chunk)
    return StoredFile(size, hashed.hexdigest())


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _written(
    descriptor: int, chunks: Iterable[bytes], wait: Callable[[int], None]
) -> Iterator[bytes]:
    for chunk in chunks:
        wait(len(chunk))
        _write(descriptor, chunk)
        yield chunk


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextmanager
def _new_file(path: Path) -> Iterator[int]:
    """Create a file that its owner alone may read; it is on the disk at the end."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        yield descriptor
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directories(root: Path) -> None:
    for path in (root, *root.iterdir()):
        if path.is_dir():
            sync_directory(path)


class _Pace:
    """Lets so many bytes a second pass: the disk is the server's as well."""

    def __init__(self, max_bytes_per_s: float) -> None:
        self._max_bytes_per_s = max_bytes_per_s
        self._next_s = time.monotonic()

    def wait(self, count: int) -> None:
        """Wait until *count* bytes may follow."""
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        self._next_s = time.monotonic() + count / self._max_bytes_per_s


def _at_once(_: int) -> None:
    """Wait for nothing: no server runs yet."""
