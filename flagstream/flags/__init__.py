"""The flag engine: definitions parsed, compiled and evaluated; pure, without I/O."""

from .evaluation import Evaluation, EvaluationContext, Reason
from .flag_set import FlagSet, compile_flags
from .local import local_definitions
from .model import FlagDefinition
from .parse import parse_flag

__all__ = [
    "Evaluation",
    "EvaluationContext",
    "FlagDefinition",
    "FlagSet",
    "Reason",
    "compile_flags",
    "local_definitions",
    "parse_flag",
]
