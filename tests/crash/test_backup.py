"""A backup of a running server, restored: everything acknowledged before it began is there."""

import asyncio
import random
import threading
import time

import aiohttp
import pytest

from tests.crash.load import Writer
from tests.crash.stored import stored_uuids
from tests.crash.test_failures import is_gold, tmpfs
from tests.filters import group_filters
from tests.server import Server

WRITERS = 4
BEFORE_S = 0.5


class Load:
    """Writers in a thread of their own, who write until the server is gone."""

    def __init__(self, server):
        self.writers = [Writer(f"user-{n}", random.Random(n)) for n in range(WRITERS)]
        self._thread = threading.Thread(target=lambda: asyncio.run(self._write(server.url)))
        self._thread.start()

    async def _write(self, url):
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            for writer in self.writers:
                tasks.create_task(writer.write_for_ever(session, url))

    def acknowledged(self):
        """Collect the uuids of all events that were acknowledged so far."""
        return {
            uuid
            for writer in self.writers
            for write in list(writer.acknowledged.values())
            for uuid in write.uuids
        }

    def join(self):
        self._thread.join()


def restored(server, backup, data_dir):
    """Make a server of a backup."""
    copy = Server(data_dir)
    done = copy.cli("restore", backup)
    assert 0 == done.returncode, done.stderr
    return copy


@pytest.mark.parametrize("settings", [{}, {"embedded_fsync": "always"}, {"api_processes": 2}])
class TestBackup:
    def test_under_load_before_a_kill(self, make_server, tmp_path, settings):
        """
        A server that is restored from a backup made under load, whose origin was killed right
        after, has all that was acknowledged before it began; it answers alike, agrees with its log,
        and later changes win.
        """
        server = make_server(**settings)
        server.start()
        server.set_group("organization", "org:1", plan="gold")
        server.create_flag("gold", group_filters(plan="gold"))
        load = Load(server)
        time.sleep(BEFORE_S)
        before = load.acknowledged()

        made = server.cli("backup", tmp_path / "backup")
        server.kill()

        load.join()
        assert 0 == made.returncode, made.stderr
        copy = restored(server, tmp_path / "backup", tmp_path / "copy")
        stored = asyncio.run(stored_uuids(copy.data_dir))
        assert set() == before - set(stored)
        assert {1} == set(stored.values())
        assert before
        copy.start()
        try:
            assert is_gold(copy)
            copy.set_group("organization", "org:1", plan="silver")
            assert not is_gold(copy)
            assert 0 == copy.terminate()
            verified = copy.cli("verify")
            assert 0 == verified.returncode, verified.stdout + verified.stderr
        finally:
            copy.kill()


class TestRequests:
    def test_go_on(self, gold_server, tmp_path):
        """
        While a backup is copied, flags and events are answered.
        """
        gold_server.capture(*({"event": "e", "distinct_id": f"u{n}"} for n in range(2_000)))
        done = []
        copying = threading.Thread(
            target=lambda: done.append(
                gold_server.cli("backup", tmp_path / "backup", "--max-megabytes-per-s", "0.2")
            )
        )
        copying.start()
        answers = 0

        while not done:
            assert is_gold(gold_server)
            gold_server.capture({"event": "e", "distinct_id": "u"})
            answers += 1

        copying.join()
        assert (0, "") == (done[0].returncode, done[0].stderr)
        assert answers > 10


class TestRefused:
    def test_full_disk(self, gold_server, tmp_path):
        """
        A backup for which there is no room is refused before it is begun.
        """
        with tmpfs(tmp_path / "small", 32) as small:
            refused = gold_server.cli("backup", small / "backup")

            assert "are free" in refused.stderr
            assert 1 == refused.returncode
            assert [] == list((small / "backup").iterdir())

    def test_stopped_server(self, gold_server, tmp_path):
        """
        Without its server a directory can simply be copied, as the message says.
        """
        gold_server.terminate()

        refused = gold_server.cli("backup", tmp_path / "backup")

        assert "can be copied as it is" in refused.stderr
        assert not (tmp_path / "backup").exists()

    def test_torn(self, gold_server, tmp_path):
        """
        A backup that was torn is refused by the name of the file.
        """
        assert 0 == gold_server.cli("backup", tmp_path / "backup").returncode
        torn = max((tmp_path / "backup" / "log").iterdir(), key=lambda path: path.stat().st_size)
        torn.write_bytes(torn.read_bytes()[:-1])

        refused = Server(tmp_path / "copy").cli("restore", tmp_path / "backup")

        assert f"log/{torn.name}: is damaged" in refused.stderr
        assert not (tmp_path / "copy").exists()
