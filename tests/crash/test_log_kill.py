import os
import random
import signal
import subprocess
import sys

import pytest

from flagstream.transport.log import Log
from flagstream.transport.options import LogOptions

ROUNDS = 5
TOPIC = "acknowledged"

# Appends and tells each offset once it is durable; posted records go along between them.
CHILD = """
import asyncio, itertools, os, sys
from pathlib import Path
from flagstream.transport.log import Log, NewRecord
from flagstream.transport.options import LogOptions

async def main(directory, fsync):
    log = Log(LogOptions(directory=Path(directory), fsync=fsync))
    log.create_topic("acknowledged", 1, is_compacted=False)
    log.create_topic("posted", 1, is_compacted=True)
    while True:
        end = log.partition("acknowledged", 0).bounds.end
        for key in range(3):
            log.post(NewRecord("posted", 0, b"%d" % key, b"%d" % end, 1))
        offsets = await log.append(
            [NewRecord("acknowledged", 0, b"k", b"%d" % (end + n), 1) for n in range(5)]
        )
        os.write(1, b"%d\\n" % offsets[-1])

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("fsync", ["interval", "always"])
class TestKill:
    async def test_what_was_acknowledged_is_there(self, tmp_path, fsync):
        """
        However often the process is killed, every acknowledged record is in the log, at the offset
        that was told, and compacted topics hold one record a key.
        """
        acknowledged = -1
        for _ in range(ROUNDS):
            acknowledged = max(acknowledged, append_and_kill(tmp_path / "log", fsync))
            log = Log(LogOptions(directory=tmp_path / "log", fsync=fsync))
            end = log.partition(TOPIC, 0).bounds.end
            values = [record.value for record in log.partition(TOPIC, 0).read(0, end)]
            posted = [record.key for record in log.partition("posted", 0).read(0, 100)]
            await log.close()

            assert end > acknowledged
            assert [b"%d" % offset for offset in range(end)] == values
            assert sorted(set(posted)) == sorted(posted)


def append_and_kill(directory, fsync):
    """Let a process append for a while, kill it, and return the last offset it acknowledged."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(directory), fsync], stdout=subprocess.PIPE
    )
    acknowledged = -1
    for _ in range(random.randint(1, 300)):
        line = child.stdout.readline()
        assert line, "the child ended by itself"
        acknowledged = int(line)
    os.kill(child.pid, signal.SIGKILL)
    rest, _ = child.communicate(timeout=30)
    whole = rest.rpartition(b"\n")[0].split()
    return int(whole[-1]) if whole else acknowledged
