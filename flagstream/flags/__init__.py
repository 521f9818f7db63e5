"""The flag engine: definitions parsed, compiled and evaluated; pure, without I/O."""

from .compilation import CompiledProject, compile_project
from .compiled_flags import CompiledFlags, compile_flags, group_requests
from .compiler import UNREAD
from .context import group_key_text, group_properties, person_properties
from .differences import Difference, differences
from .evaluation import Basis, Evaluation, EvaluationContext, Kind, Reason
from .explain import explain, explanation_as
from .explanation import Explanation, Origin, Origins, tests_of
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
    "UNREAD",
    "Basis",
    "CohortDefinition",
    "CompiledFlags",
    "CompiledProject",
    "Definitions",
    "Difference",
    "Evaluation",
    "EvaluationContext",
    "Explanation",
    "FlagDefinition",
    "FlagSet",
    "Kind",
    "Lint",
    "LocalDefinitions",
    "Origin",
    "Origins",
    "ParsedProject",
    "Reason",
    "Sdk",
    "Steps",
    "compile_flags",
    "compile_project",
    "differences",
    "explain",
    "explanation_as",
    "finished",
    "group_key_text",
    "group_properties",
    "group_requests",
    "lint",
    "local_definitions",
    "number_text",
    "parse_cohort",
    "parse_flag",
    "parse_project",
    "person_properties",
    "stepwise",
    "tests_of",
    "time_zone",
]
