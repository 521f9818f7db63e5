"""``python -m flagstream``."""

from flagstream.cli import main

main()
