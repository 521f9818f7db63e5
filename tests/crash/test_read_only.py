"""As in a container: another user, nothing but the data directory to be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.test_failures import is_gold
from tests.crash.test_metrics import children_of
from tests.filters import group_filters
from tests.server import Server
from tests.waiting import until

UID = 10001
IN_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc")
# Below it everybody may search; the capability below is for interpreters that are in /root.
DATA_DIR = "/mnt"
# In a mount namespace of its own, where everything is read-only but the data directory.
SCRIPT = """
set -eu
mount --bind "$DATA" "$FLAGSTREAM_DATA_DIR"
mount -o remount,bind,ro /
! touch /written 2>/dev/null
exec setpriv --reuid {uid} --regid {uid} --clear-groups --no-new-privs \
    --inh-caps=-all,+dac_read_search --ambient-caps=+dac_read_search "$@"
"""


class ReadOnlyServer(Server):
    """A server whose file system is read-only but for its data."""

    def launch(self):
        if os.geteuid() != 0:
            pytest.fail("only root may mount: run `sudo scripts/test crash`")
        self.data_dir.mkdir(exist_ok=True)
        os.chown(self.data_dir, UID, UID)
        kept = {name: v for name, v in self.environment.items() if name.startswith("FLAGSTREAM_")}
        command = [sys.executable, "-B", "-m", "flagstream", "serve"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", SCRIPT.format(uid=UID), "sh", *command],
                env={
                    **kept,
                    "FLAGSTREAM_DATA_DIR": DATA_DIR,
                    "DATA": str(self.data_dir),
                    "PATH": os.environ["PATH"],
                },
                stdout=log,
                stderr=log,
            )


class TestReadOnly:
    @pytest.mark.parametrize("api_processes", [0, 1])
    def test_works(self, tmp_path, api_processes):
        """
        Another user without a home, on a read-only root, runs everything, and stops on SIGTERM in
        less time than Docker gives; all files are in the data directory, for that user alone to
        write.
        """
        server = ReadOnlyServer(tmp_path / "data", api_processes=api_processes)
        try:
            server.start()
            server.set_group("organization", "org:1", plan="gold")
            server.create_flag("gold", group_filters(plan="gold"))
            assert is_gold(server)
            assert UID == Path(f"/proc/{server.process.pid}").stat().st_uid
            assert 0 == server.terminate()
        finally:
            server.kill()

        owners = {path.stat().st_uid for path in server.data_dir.rglob("*")}
        assert {UID} == owners


class TestFirstProcess:
    def test_signals_and_children(self, tmp_path):
        """
        As process 1 it ends on SIGTERM, and leaves no process of its own unreaped.
        """
        server = FirstProcess(tmp_path / "data", api_processes=1)
        try:
            server.start()
            (first,) = children_of(server.process.pid)
            (api,) = children_of(first)
            os.kill(api, 9)
            until(lambda: children_of(first) not in ([], [api]))
            assert "Z" not in {state_of(pid) for pid in children_of(first)}
            os.kill(first, 15)
            assert 0 == server.process.wait(15)
        finally:
            server.kill()


class FirstProcess(Server):
    """A server that is process 1 of a namespace."""

    def launch(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*IN_NAMESPACE, sys.executable, "-m", "flagstream", "serve"],
                env=self.environment,
                stdout=log,
                stderr=log,
            )


def state_of(pid):
    """Read the letter for how a process is."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
