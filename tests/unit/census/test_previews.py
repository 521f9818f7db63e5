"""The processes that preview: started, ended, and never left behind."""

import json
import subprocess
import sys
from time import monotonic

import msgspec
import pytest

from flagstream.census import Previews, PreviewTask, change_of
from flagstream.census.preview import Welcome
from flagstream.errors import UnavailableError
from flagstream.flags import Definitions, parse_flag
from flagstream.topics import record_key
from tests.projects import project_of

ROW = {"key": "new", "filters": {"groups": [{}], "aggregation_group_type_index": 0}}


@pytest.fixture
def task():
    parsed = project_of(Definitions(group_types={"company": 0})).parsed
    return PreviewTask(
        change=change_of(parsed, parse_flag(ROW)),
        project_id=1,
        now_ms=0,
        timeout_s=30,
        limit=10,
    )


class TestProcesses:
    async def test_who_does_not_wait(self, tmp_path, write_groups, task):
        """
        Once nobody waits for the answer, the process is ended, and another can be started.
        """
        write_groups("company", 3)
        previews = Previews(tmp_path / "views")
        began_s = monotonic()

        with pytest.raises(UnavailableError):
            await previews.preview(task, lambda: False)

        assert monotonic() - began_s < 5
        assert 3 == (await previews.preview(task, lambda: True)).then.on

    async def test_no_views(self, tmp_path, task, capfd):
        """
        A process that cannot read the views fails, which is no answer.
        """
        with pytest.raises(UnavailableError, match="The preview failed"):
            await Previews(tmp_path / "nowhere").preview(task, lambda: True)

    def test_leaves_nothing_behind(self, tmp_path, write_groups, task):
        """
        What a process has written for itself is gone with it, also where nobody is left who
        started it.
        """
        write_groups("company", 3)
        own = tmp_path / "own"
        own.mkdir()
        told = {"log_level": "info", "log_format": "text", "task": task}
        welcome = Welcome(views=str(tmp_path / "views"), own=str(own), **told)

        ended = subprocess.run(
            [sys.executable, "-m", "flagstream.census.preview_process"],
            input=msgspec.json.encode(welcome),
            capture_output=True,
            check=True,
        )

        assert 3 == msgspec.json.decode(ended.stdout)["then"]["on"]
        assert not own.exists()

    @pytest.mark.parametrize("log_format", ["text", "json"])
    async def test_what_breaks(self, tmp_path, write_groups, store, task, capfd, log_format):
        """
        What a preview breaks over is told as by every process, and quotes nothing that is stored.
        """
        write_groups("company", 1)
        store.write({b"g" + record_key(1, "company", "000000"): b'"m4rk3d'}, {})

        previews = Previews(tmp_path / "views", log_format=log_format)

        with pytest.raises(UnavailableError):
            await previews.preview(task, lambda: True)

        logged = capfd.readouterr().err
        assert "m4rk3d" not in logged
        assert "Ended by a defect" in logged
        assert "DecodeError: (what it says may quote what was sent)" in logged
        if log_format == "json":
            assert {"preview"} == {json.loads(line)["process"] for line in logged.splitlines()}
