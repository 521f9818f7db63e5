"""What was found once is not found again, and some thousand made-up inputs find nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.seeds import corpus, seeds
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("target", TARGETS)
def test_corpus(target):
    """
    Inputs that once failed, and those that fuzzing begins with, are answered or refused.
    """
    assert set(corpus(target)) <= set(seeds(target))
    for data in seeds(target):
        TARGETS[target](data)


def test_made_up():
    """
    Six thousand inputs, changed so that they reach ever more of the code, break nothing.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--runs", "6000", "--seed", "7"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == ran.returncode, ran.stdout + ran.stderr
    assert "0 findings" in ran.stdout
