"""The flag engine: pure, without I/O."""

from .compiler import FlagSet

__all__ = ["FlagSet"]
