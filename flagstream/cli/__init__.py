"""The command line: parsing and printing only."""

from .main import main

__all__ = ["main"]
