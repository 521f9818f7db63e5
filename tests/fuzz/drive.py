"""
One target, driven by libFuzzer: inputs that reach new lines are kept, and changed further.

    python -m tests.fuzz.drive TARGET [libFuzzer's options and directories of inputs]
"""

import sys

import atheris

with atheris.instrument_imports(include=["flagstream"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run; ends the process."""
    program, target, *options = sys.argv
    atheris.Setup([program, *options], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
