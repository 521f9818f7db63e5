"""The Faust agents: the only code that writes tables."""

from .folding import Folding, register

__all__ = ["Folding", "register"]
