"""
Bytes that were made up, given to whatever reads bytes from strangers.

Guided by coverage (Atheris, libFuzzer): inputs that reach new lines are changed further. Fails
where anything but an error for the client is raised, an invariant does not hold, an input takes
longer than ten seconds, or the process more than two gigabytes. What failed is printed, to be kept
in ``tests/fuzz/corpus``, which the suite replays.

    python -m tests.fuzz [--runs 1000000] [--seed 1] [--target NAME]...
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

_MAX_LEN = 4_096
_TIMEOUT_S = 10
_MEMORY_MB = 2_048
_WORDS = Path(__file__).parent / "words.dict"
_DONE = re.compile(r"Done (\d+) (?:runs )?in (\d+) second")
_COVERED = re.compile(r"cov: (\d+)")


class Fuzzed(NamedTuple):
    """
    What became of a target.

    Attributes:
        runs: How many inputs it was given.
        covered: How many edges of the code they reached.
        finding: The input that failed, and how; "" for none.
    """

    target: str
    runs: int
    seconds: float
    covered: int
    finding: str


def fuzz(target: str, runs: int, seed: int) -> Fuzzed:
    """Give a target so many inputs, or fewer, if one fails."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        inputs = place / "inputs"
        inputs.mkdir()
        for number, raw in enumerate(seeds(target)):
            (inputs / f"{number:04}").write_bytes(raw)
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz.drive", target),
                *(f"-runs={runs}", f"-seed={seed}", f"-max_len={_MAX_LEN}", f"-dict={_WORDS}"),
                *(f"-timeout={_TIMEOUT_S}", f"-rss_limit_mb={_MEMORY_MB}"),
                f"-artifact_prefix={place}/",
                str(inputs),
            ],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        failed = [path.read_bytes() for path in place.iterdir() if path.is_file()]
    finding = "" if ran.returncode == 0 else f"{failed!r}\n{_told(ran)}"
    done = _DONE.search(ran.stderr)
    covered = _COVERED.findall(ran.stderr)
    return Fuzzed(
        target=target,
        runs=int(done[1]) if done else 0,
        seconds=time.monotonic() - began_s,
        covered=int(covered[-1]) if covered else 0,
        finding=finding,
    )


def _told(ran: subprocess.CompletedProcess[str]) -> str:
    """Take the traceback, or whatever else was said last."""
    text = ran.stdout + ran.stderr
    start = text.find("Uncaught Python exception")
    told = text[start:] if start >= 0 else text[-4_000:]
    return told.partition("\nINFO:")[0][:4_000]


def main() -> int:
    """Fuzz; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs, over all targets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", action="append", choices=list(TARGETS), dest="targets")
    given = parser.parse_args()
    targets = given.targets or list(TARGETS)
    total = findings = 0
    for target in targets:
        found = fuzz(target, -(-given.runs // len(targets)), given.seed)
        total += found.runs
        findings += bool(found.finding)
        print(  # noqa: T201 -- what it is for
            f"{target:12} {found.runs:9,} inputs  {found.seconds:7.0f} s  "
            f"{found.covered:6,} edges  {found.finding or 'no findings'}",
            flush=True,
        )
    print(f"{'all':12} {total:9,} inputs  {findings} findings")  # noqa: T201 -- likewise
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
