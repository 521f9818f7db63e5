"""Records, written as lines."""

import json
import logging
import subprocess
import sys
import warnings

import pytest

from flagstream import logs
from flagstream.settings import Settings


@pytest.fixture
def log(capsys):
    """Write records as configured, and give the lines."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in (*logs._TALKATIVE, *logs._QUOTING)}
    hook = sys.excepthook

    def read():
        return capsys.readouterr().err.splitlines()

    def configured(**settings):
        logs.configure(Settings(**settings), "api-0")
        return read

    yield configured

    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    sys.excepthook = hook


class Odd:
    def __repr__(self):
        return "odd"


class TestJson:
    def test_members(self, log):
        """
        A record is one line, with its facts as members, whatever these are.
        """
        lines = log(log_format="json")
        facts = {"detail": "a\nb", "number": 5, "odd": Odd(), "bytes": b"\xff"}

        logging.getLogger("x.y").warning("It is\n%s", "so", extra=facts)

        (line,) = map(json.loads, lines())
        assert line.pop("time").endswith("+00:00")
        assert line.pop("bytes")
        assert {
            "level": "WARNING",
            "logger": "x.y",
            "message": "It is\nso",
            "process": "api-0",
            "detail": "a\nb",
            "number": 5,
            "odd": "odd",
        } == line

    def test_exception(self, log):
        """
        A traceback is a member, and no lines of its own.
        """
        lines = log(log_format="json")
        error = ValueError("bad\nvalue")
        logging.getLogger("x").error("Failed", exc_info=error)

        (line,) = map(json.loads, lines())
        assert "ValueError: bad\nvalue" == line["exception"]

    def test_warnings(self, log):
        """
        Warnings of Python are records as well.
        """
        lines = log(log_format="json")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(capture=False)
            logging.captureWarnings(capture=True)
            warnings.warn("old", DeprecationWarning, stacklevel=1)

        (line,) = map(json.loads, lines())
        assert ("WARNING", "py.warnings") == (line["level"], line["logger"])

    def test_defect(self):
        """
        What ends the process is a line, too.
        """
        program = (
            "from flagstream.logs import configure; from flagstream.settings import Settings\n"
            "configure(Settings(log_format='json'), 'all')\n1 / 0"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )

        (line,) = map(json.loads, ended.stderr.splitlines())
        assert 1 == ended.returncode
        assert ("CRITICAL", "Ended by a defect") == (line["level"], line["message"])
        assert "ZeroDivisionError" in line["exception"]


class TestText:
    def test_facts(self, log):
        """
        Facts follow the message, which stays on its line.
        """
        lines = log()
        logging.getLogger("x").warning("It is\nso", extra={"detail": "a\nb", "number": 5})

        (line,) = lines()
        assert line.endswith(r" WARNING api-0 x: It is\nso detail='a\nb' number=5")

    @pytest.mark.parametrize(("level", "count"), [("info", 0), ("debug", 1)])
    @pytest.mark.parametrize("name", ["faust.app", "aiokafka.conn", "mode.services"])
    def test_libraries(self, log, level, count, name):
        """
        Libraries that tell every step are heard from warnings on, unless all is to be told.
        """
        lines = log(log_level=level)
        logging.getLogger(name).info("a step")

        assert count == len(lines())

    @pytest.mark.parametrize("name", ["aiokafka.conn", "asyncio", "faust.app", "mode.services"])
    def test_messages(self, log, name):
        """
        Libraries tell of every message, and of what is in it, only at a level that is not logged.
        """
        lines = log(log_level="debug")
        logging.getLogger(name).debug("m4rk3d")

        assert [] == lines()

    @pytest.mark.parametrize("name", ["aiokafka", "asyncio", "faust", "flagstream.transport"])
    def test_no_louder_than_asked(self, log, name):
        """
        Where errors alone are asked for, no library tells anything else.
        """
        lines = log(log_level="error")
        logging.getLogger(name).warning("a warning")

        assert [] == lines()
