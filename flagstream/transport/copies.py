"""What a node keeps of topics, dropped when these are not the same topics any more."""

import logging
import shutil
from pathlib import Path

from flagstream.errors import SettingsError
from flagstream.settings import Settings

from .kafka_layout import Layout

logger = logging.getLogger(__name__)

_MARKER = "layout.json"
_OF_ROLE = {
    "all": ("tables", "views", "seen", "history"),
    "worker": ("tables",),
    "api": ("views", "seen", "history"),
}


def drop_copies_of_others(settings: Settings, layout: Layout) -> None:
    """
    Drop what does not follow from just these topics: their offsets mean nothing.

    Tables and views are rebuilt from the changelogs, which events were seen from the events; how
    groups were can be told from then on.

    Raises:
        SettingsError: The data directory cannot be written.
    """
    try:
        for name in _OF_ROLE[settings.role]:
            _drop_other(settings.data_dir / name, layout.to_bytes())
    except OSError as error:
        raise SettingsError(f"data_dir: {settings.data_dir}: {error.strerror}") from None


def _drop_other(path: Path, layout: bytes) -> None:
    marker = path / _MARKER
    if marker.exists() and marker.read_bytes() == layout:
        return
    if path.exists():
        logger.warning("%s is of other topics and is rebuilt", path)
        shutil.rmtree(path)
    path.mkdir(parents=True)
    # A part of it, after a crash, is no layout either.
    marker.write_bytes(layout)
