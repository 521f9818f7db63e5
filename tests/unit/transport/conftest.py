"""Logs on the embedded transport, in directories that do not outlive their test."""

import pytest

from flagstream.transport.options import LogOptions
from flagstream.transport.registry import close_log, open_log


class Logs:
    """Opens the log of one directory, again and again."""

    def __init__(self, directory):
        self.directory = directory
        self._open = []

    def open(self, **options):
        """Open the log; what is still open at the end of the test is closed."""
        self._open.append(open_log(LogOptions(directory=self.directory, **options)))
        return self._open[-1]

    async def close(self, log):
        """Close a log before the end of the test."""
        self._open.remove(log)
        await close_log(log)

    async def close_all(self):
        """Close what is open."""
        for log in tuple(self._open):
            await self.close(log)


@pytest.fixture
async def logs(tmp_path):
    """The test's directory for a log."""
    logs = Logs(tmp_path / "log")

    yield logs

    await logs.close_all()


@pytest.fixture
async def log(logs):
    """A log with a plain topic and a compacted one."""
    log = logs.open()
    log.create_topic("plain", 2, is_compacted=False)
    log.create_topic("compacted", 1, is_compacted=True)
    return log
