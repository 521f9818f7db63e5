"""Backups: whole or not there, and refused by name where they are damaged."""

import asyncio
import shutil
import stat
from time import monotonic

import msgspec
import pytest

from flagstream import backup
from flagstream.backup import back_up, check, restore
from flagstream.checkpoints import lending
from flagstream.errors import BackupError
from flagstream.settings import Settings

FILES = {"CURRENT": b"MANIFEST-1\n", "1.sst": b"\0" * 3_000_000, "2.log": b""}


async def made(path):
    path.mkdir()
    for name, content in FILES.items():
        (path / name).write_bytes(content)


async def torn(path):
    await made(path)
    (path / "3.sst").symlink_to("nowhere")


async def backed_up(data_dir, target, max_bytes_per_s=float("inf"), make=made):
    data_dir.mkdir(exist_ok=True)
    settings = Settings(data_dir=data_dir)
    async with lending(data_dir, make):
        return await asyncio.to_thread(back_up, settings, target, max_bytes_per_s=max_bytes_per_s)


@pytest.fixture
async def target(tmp_path):
    """
    A backup.
    """
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "keys.json").write_text("{}")
    await backed_up(data_dir, tmp_path / "target")
    return tmp_path / "target"


def found(directory):
    """Read all files, by path."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


class TestBackUp:
    async def test_holds_log_and_keys(self, target):
        """
        A backup is the log, the keys and a manifest, which its owner alone may read.
        """
        files = found(target)
        del files["manifest.json"]

        assert {"keys.json": b"{}"} | {f"log/{name}": FILES[name] for name in FILES} == files
        for path in (target, *target.rglob("*")):
            assert 0 == stat.S_IMODE(path.stat().st_mode) & 0o077

    async def test_manifest(self, target):
        """
        The manifest says what there is, and when everything acknowledged was in it.
        """
        manifest = check(target)

        assert {"keys.json", *(f"log/{name}" for name in FILES)} == set(manifest.files)
        assert 2 + sum(map(len, FILES.values())) == manifest.bytes
        assert manifest.created_at.endswith("+00:00")

    async def test_not_over_something(self, tmp_path, target):
        """
        A directory that is not empty is refused, and left as it is.
        """
        before = found(target)

        with pytest.raises(BackupError, match=r"target: expected an empty directory, found keys"):
            await backed_up(tmp_path / "data", target)

        assert before == found(target)

    async def test_after_one_that_was_killed(self, tmp_path):
        """
        What an interrupted backup left is removed; a volume's own directory is in nobody's way.
        """
        target = tmp_path / "target"
        (target / "lost+found").mkdir(parents=True)
        (target / ".unfinished").mkdir()
        (target / ".unfinished" / "x").touch()

        await backed_up(tmp_path / "data", target)

        assert {"log", "lost+found", "manifest.json"} == {path.name for path in target.iterdir()}

    async def test_no_room(self, tmp_path, monkeypatch):
        """
        Nothing is begun that would fill the disk.
        """
        usage = shutil.disk_usage(tmp_path)._replace(free=64_000_000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

        with pytest.raises(BackupError, match=r"3,000,011 bytes are to be written, 64,000,000"):
            await backed_up(tmp_path / "data", tmp_path / "target")

        assert [] == list((tmp_path / "target").iterdir())

    async def test_pace(self, tmp_path):
        """
        It takes no more of the disk than it may.
        """
        began_s = monotonic()

        await backed_up(tmp_path / "data", tmp_path / "target", 10e6)

        assert monotonic() - began_s > 0.2

    async def test_server_ends_meanwhile(self, tmp_path):
        """
        A file that is gone before it was copied is named, and no backup is there.
        """
        with pytest.raises(BackupError, match=r"3\.sst: No such file"):
            await backed_up(tmp_path / "data", tmp_path / "target", make=torn)

        assert not (tmp_path / "target").exists()

    def test_kafka(self, tmp_path):
        """
        On Kafka the command says whose task it is.
        """
        settings = Settings(broker_url="kafka://h:1", data_dir=tmp_path)

        with pytest.raises(BackupError, match=r"topics, which are copied with .*backup\.md"):
            back_up(settings, tmp_path / "target", max_bytes_per_s=1)


def flip(path):
    content = bytearray(path.read_bytes())
    content[1_000] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def of_later(path):
    manifest = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode(manifest | {"format": 2}))


class TestRestore:
    async def test_is_what_was_backed_up(self, tmp_path, target):
        """
        A restored directory holds log and keys, and nothing else.
        """
        restore(target, tmp_path / "new" / "data")

        files = found(target)
        del files["manifest.json"]
        assert files == found(tmp_path / "new" / "data")

    @pytest.mark.parametrize(
        ("name", "damage", "message"),
        [
            ("log/1.sst", flip, r"log/1\.sst: is damaged"),
            ("log/1.sst", cut, r"log/1\.sst: is damaged"),
            ("log/CURRENT", lambda path: path.unlink(), r"log/CURRENT: is damaged"),
            ("keys.json", cut, r"keys\.json: is damaged"),
            ("manifest.json", cut, r"manifest\.json: is damaged"),
            ("manifest.json", lambda path: path.unlink(), r"manifest\.json: is missing"),
            ("manifest.json", of_later, r"manifest\.json: has format 2"),
            (
                "manifest.json",
                lambda path: path.write_text(
                    '{"format":1,"version":"","created_at":"","files":{}}'
                ),
                r"manifest\.json: is damaged: it names no log",
            ),
        ],
    )
    async def test_damaged(self, tmp_path, target, name, damage, message):
        """
        A backup that is torn or damaged is refused, naming the file, and nothing is restored.
        """
        damage(target / name)

        with pytest.raises(BackupError, match=message):
            restore(target, tmp_path / "new")

        assert not (tmp_path / "new").exists()

    async def test_not_over_data(self, tmp_path, target):
        """
        Data that is there is never touched.
        """
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "log").mkdir()

        with pytest.raises(BackupError, match="new: expected an empty directory, found log"):
            restore(target, tmp_path / "new")

    async def test_damaged_on_the_way(self, tmp_path, target, monkeypatch):
        """
        What is read differently while it is copied is refused as well.
        """
        checked = backup.check

        def flip_later(directory):
            manifest = checked(directory)
            flip(directory / "log/1.sst")
            return manifest

        monkeypatch.setattr(backup, "check", flip_later)

        with pytest.raises(BackupError, match="is damaged"):
            restore(target, tmp_path / "new")

        assert [] == list((tmp_path / "new").iterdir())
