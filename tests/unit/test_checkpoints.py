"""Checkpoints lent to backups."""

import asyncio
import stat

import pytest

from flagstream.checkpoints import borrowed, lending
from flagstream.errors import BackupError, LogUnavailableError
from flagstream.transport.log import Log, NewRecord
from flagstream.transport.options import LogOptions


async def made(path):
    path.mkdir()
    (path / "CURRENT").write_text("one")


async def broken(_):
    raise LogUnavailableError("disk full")


def lent(data_dir):
    """Borrow a checkpoint, and tell what is in it."""
    with borrowed(data_dir) as checkpoint:
        return [path.name for path in checkpoint.iterdir()]


class TestLending:
    async def test_as_long_as_it_is_copied(self, tmp_path):
        """
        A checkpoint is there until whoever asked for it is gone.
        """
        async with lending(tmp_path, made):
            assert ["CURRENT"] == await asyncio.to_thread(lent, tmp_path)
            # The next one gets its own: the last has been removed.
            while (tmp_path / "checkpoint").exists():  # noqa: ASYNC110 -- the file system does not tell
                await asyncio.sleep(0.01)
            assert ["CURRENT"] == await asyncio.to_thread(lent, tmp_path)

        assert [] == list(tmp_path.iterdir())

    async def test_for_the_owner_alone(self, tmp_path):
        """
        Nobody but the owner may connect, wherever the directory is and however long its path.
        """
        data_dir = tmp_path / ("long" * 30)
        data_dir.mkdir()
        async with lending(data_dir, made):
            (found,) = data_dir.iterdir()

            assert 0o600 == stat.S_IMODE(found.stat().st_mode)
            assert ["CURRENT"] == await asyncio.to_thread(lent, data_dir)

    async def test_one_at_a_time(self, tmp_path):
        """
        A second backup is refused while one is made.
        """
        async with lending(tmp_path, made):
            first = borrowed(tmp_path)
            await asyncio.to_thread(first.__enter__)
            with pytest.raises(BackupError, match="another backup is made"):
                await asyncio.to_thread(lent, tmp_path)
            first.__exit__(None, None, None)

    async def test_disk_full(self, tmp_path):
        """
        What the log says is told to whoever asked.
        """
        async with lending(tmp_path, broken):
            with pytest.raises(BackupError, match="disk full"):
                await asyncio.to_thread(lent, tmp_path)

    async def test_of_a_server_that_was_killed(self, tmp_path):
        """
        What a killed server had lent is removed, and its socket is no hindrance.
        """
        (tmp_path / "checkpoint").mkdir()
        (tmp_path / "checkpoint" / "old").touch()
        (tmp_path / "backup.sock").touch()

        async with lending(tmp_path, made):
            assert ["CURRENT"] == await asyncio.to_thread(lent, tmp_path)

    @pytest.mark.parametrize("name", [".", "nowhere"])
    def test_nobody_there(self, tmp_path, name):
        """
        Without a server the message says what to do instead.
        """
        with pytest.raises(BackupError, match=r"can be copied as it is|No such file"):
            lent(tmp_path / name)


class TestLog:
    async def test_checkpoint_is_of_one_moment(self, tmp_path):
        """
        A checkpoint holds what was appended before it and nothing of later, and opens as a log.
        """
        log = Log(LogOptions(directory=tmp_path / "log"))
        log.create_topic("plain", 1, is_compacted=False)
        await log.append([NewRecord("plain", 0, b"k", b"before", 1)])
        await log.commit("g", {("plain", 0): 1})

        await log.checkpoint(tmp_path / "copy")

        await log.append([NewRecord("plain", 0, b"k", b"after", 1)])
        await log.close()
        copy = Log(LogOptions(directory=tmp_path / "copy"))
        assert [b"before"] == [each.value for each in copy.partition("plain", 0).read(0, 10)]
        assert 1 == copy.committed("g", "plain", 0)
        await copy.close()

    async def test_in_the_way(self, tmp_path):
        """
        A checkpoint does not overwrite; the log goes on.
        """
        log = Log(LogOptions(directory=tmp_path / "log"))
        with pytest.raises(LogUnavailableError, match="Directory exists"):
            await asyncio.gather(log.checkpoint(tmp_path), log.flush())
        assert log.is_available
        await log.close()
