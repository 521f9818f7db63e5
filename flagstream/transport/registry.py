"""One log per directory and process: Faust's transport knows only a URL, others hold the object."""

from pathlib import Path

from .log import Log
from .options import LogOptions

_logs: dict[Path, Log] = {}
_users: dict[Path, int] = {}


def open_log(options: LogOptions) -> Log:
    """
    Open a log, or share the one that is open; every call needs one :func:`close_log`.

    The options of the first call count.

    Raises:
        LogLockedError: Another process holds the directory.
        LogFormatError: The directory was written by a newer flagstream.
    """
    path = options.directory.resolve()
    if path not in _logs:
        _logs[path] = Log(options)
    _users[path] = _users.get(path, 0) + 1
    return _logs[path]


async def close_log(log: Log) -> None:
    """Give a log back; the last one to do so closes it."""
    path = log.options.directory.resolve()
    _users[path] -= 1
    if _users[path] == 0:
        del _users[path], _logs[path]
        await log.close()
