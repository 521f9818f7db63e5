"""posthog-node and posthog-python, of whatever version, in the programs that use them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.clients.versions import HERE, NODE, PYTHON

_TIMEOUT_S = 300


def run(client: str, program: str, given: Any) -> Any:
    """
    Run a program with a client.

    Args:
        program: What ``node_*.mjs`` and ``python_*.py`` are named for.
        given: What the program reads.

    Returns:
        What it prints.
    """
    environment = dict(os.environ)
    if client in NODE:
        command = ["node", f"node_{program}.mjs", NODE[client]]
    else:
        command = [sys.executable, f"python_{program}.py"]
        if (path := PYTHON[client]) is not None:
            environment["PYTHONPATH"] = str(path)
    return execute(command, given, environment)


def execute(
    command: Sequence[str], given: Any, environment: Mapping[str, str] | None = None
) -> Any:
    """Run a program of this directory, likewise."""
    ran = subprocess.run(
        command,
        cwd=HERE,
        env=environment,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
