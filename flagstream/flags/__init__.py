"""The flag engine: definitions parsed, compiled and evaluated; pure, without I/O."""

from .compilation import CompiledProject, compile_project
from .compiled_flags import CompiledFlags, compile_flags
from .context import group_key_text, group_properties, person_properties
from .differences import Difference, differences
from .evaluation import Basis, Evaluation, EvaluationContext, Kind, Reason
from .flag_set import FlagSet
from .lint import Lint, lint
from .local import LocalDefinitions, local_definitions
from .model import CohortDefinition, FlagDefinition
from .parse import parse_cohort, parse_flag
from .portable import Sdk
from .project import Definitions, ParsedProject, parse_project, time_zone
from .steps import Steps, finished, stepwise
from .values import number_text

__all__ = [
    "Basis",
    "CohortDefinition",
    "CompiledFlags",
    "CompiledProject",
    "Definitions",
    "Difference",
    "Evaluation",
    "EvaluationContext",
    "FlagDefinition",
    "FlagSet",
    "Kind",
    "Lint",
    "LocalDefinitions",
    "ParsedProject",
    "Reason",
    "Sdk",
    "Steps",
    "compile_flags",
    "compile_project",
    "differences",
    "finished",
    "group_key_text",
    "group_properties",
    "lint",
    "local_definitions",
    "number_text",
    "parse_cohort",
    "parse_flag",
    "parse_project",
    "person_properties",
    "stepwise",
    "time_zone",
]
