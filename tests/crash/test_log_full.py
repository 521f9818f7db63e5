import asyncio
import subprocess

import pytest

from flagstream.errors import LogUnavailableError
from flagstream.transport.log import Log, NewRecord
from flagstream.transport.options import LogOptions

SIZE_MB = 48
TIMEOUT_S = 20.0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own that is soon full; needs root."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", disk], check=True)

    yield disk

    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk):
    """Take all the room there is."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError:
            return


def record(number, topic="plain"):
    return NewRecord(topic, 0, b"k%d" % number, b"%d" % number + b"x" * 500, 1)


async def append_until_refused(log):
    """Append one by one; return how many were acknowledged, and why the next one was not."""
    for number in range(1_000_000):
        try:
            await log.append([record(number)])
        except LogUnavailableError as error:
            return number, str(error)
    raise AssertionError


@pytest.mark.parametrize("fsync", ["interval", "always", "never"])
class TestFullDisk:
    async def test_refuses_and_comes_back(self, small_disk, fsync):
        """
        On a full disk whoever waits is refused and nothing of it is in the log, reads go on, and
        once there is room writes do too, the posted records first.
        """
        log = Log(LogOptions(directory=small_disk / "log", fsync=fsync))
        log.create_topic("plain", 1, is_compacted=False)
        log.create_topic("posted", 1, is_compacted=False)
        fill(small_disk)
        acknowledged, refusal = await append_until_refused(log)
        assert "No space left" in refusal
        log.post(record(7, "posted"))
        with pytest.raises(LogUnavailableError):
            await log.append([record(-1)])
        assert acknowledged == len(log.partition("plain", 0).read(0, 100_000))

        (small_disk / "filler").unlink()
        async with asyncio.timeout(TIMEOUT_S):
            while not log.is_available:  # noqa: ASYNC110 -- the log has nobody to tell
                await asyncio.sleep(0.05)
        await log.append([record(acknowledged)])

        assert [record(7, "posted").value] == [
            r.value for r in log.partition("posted", 0).read(0, 9)
        ]
        assert [record(n).value for n in range(acknowledged + 1)] == [
            found.value for found in log.partition("plain", 0)._scan(0, 100_000)
        ]
        await log.close()
        again = Log(LogOptions(directory=small_disk / "log"))
        assert acknowledged + 1 == again.partition("plain", 0).bounds.end
        await again.close()
