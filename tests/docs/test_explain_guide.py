"""The guide of explanations: its commands, run one after the other, print what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import Server

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/guides/explain-and-preview.md"
EXAMPLE_URL = "http://127.0.0.1:8080"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
VERSION = re.compile(r"version \d+")


def session():
    """Take the commands of the guide, each with what it prints."""
    for block in BLOCK.findall(GUIDE.read_text()):
        parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
        for part in parts:
            command, printed = part.partition("\n")[::2]
            while is_open(command):
                more, printed = printed.partition("\n")[::2]
                command += "\n" + more
            yield command, printed


def is_open(command):
    """Tell whether a command goes on in the next line."""
    is_here = "<<'END'" in command and not command.endswith("\nEND")
    return command.endswith("\\") or command.count("'") % 2 or is_here


def masked(text):
    """Leave out what no two runs have in common."""
    return VERSION.sub("version N", TIME.sub("TIME", text)).strip()


def is_printed(expected, printed):
    """Compare; a line with an ellipsis stands for any lines."""
    pattern = re.escape(masked(expected)).replace(re.escape("…\n"), "(?:.*\n)*")
    return re.fullmatch(pattern, masked(printed)) is not None


@pytest.fixture(params=[0, 1])
def server(tmp_path, request):
    """A server that answers itself, or by a process of its own."""
    server = Server(tmp_path / "data", api_processes=request.param)
    (tmp_path / "config").symlink_to(ROOT / "config")
    server.start()
    yield server
    server.kill()


def run(server, command):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-c", command.replace(EXAMPLE_URL, server.url)],
        cwd=server.data_dir.parent,
        env={**server.environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.stdout + ran.stderr


def test_every_command(server):
    """
    Each command of the guide prints what the guide says.
    """
    for command, expected in session():
        printed = run(server, command)

        assert is_printed(expected, printed), f"$ {command}\n{printed}"
