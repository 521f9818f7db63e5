"""Changing definitions: the service behind the API, the console and the command line."""

from .bodies import NAME, is_name, iso_time
from .cohort_rows import (
    COHORT_DEFINING,
    COHORT_READ_ONLY,
    changed_cohort_row,
    check_static,
    new_cohort_row,
)
from .history import Entry, entries
from .kept_secret import take_over_kept_secret
from .projects import ProjectManagement
from .references import check_flag, cycles, dependents, named_cohorts
from .rows import DEFINING, READ_ONLY, changed_row, new_row
from .running import carry_out
from .schedules import Due, Schedules, find_schedule, flag_row, schedules_of
from .secret_keys import MadeKey, SecretKeyManagement, key_appends
from .service import Management, find_cohort, find_flag
from .stages import previews, status, step_status
from .then import snapshot_at
from .writer import DefinitionsWriter, Editor, Turn, alone

__all__ = [
    "COHORT_DEFINING",
    "COHORT_READ_ONLY",
    "DEFINING",
    "NAME",
    "READ_ONLY",
    "DefinitionsWriter",
    "Due",
    "Editor",
    "Entry",
    "MadeKey",
    "Management",
    "ProjectManagement",
    "Schedules",
    "SecretKeyManagement",
    "Turn",
    "alone",
    "carry_out",
    "changed_cohort_row",
    "changed_row",
    "check_flag",
    "check_static",
    "cycles",
    "dependents",
    "entries",
    "find_cohort",
    "find_flag",
    "find_schedule",
    "flag_row",
    "is_name",
    "iso_time",
    "key_appends",
    "named_cohorts",
    "new_cohort_row",
    "new_row",
    "previews",
    "schedules_of",
    "snapshot_at",
    "status",
    "step_status",
    "take_over_kept_secret",
]
