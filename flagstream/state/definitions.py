"""Definitions: flags, cohorts, settings, projects and keys, the last write of each as a whole."""

from enum import StrEnum
from typing import Any

from .records import Record, State


class Kind(StrEnum):
    """What a definition defines; second part of its key, before its id."""

    FLAG = "flag"
    COHORT = "cohort"
    PROJECT = "project"
    GROUP_TYPE = "group-type"
    SCHEDULE = "schedule"
    TENANT = "tenant"
    KEY = "key"
    KEY_REVOCATION = "key-revocation"
    KEY_USE = "key-use"


class DefinitionUpdate(Record, frozen=True):
    """
    A definition as it was checked and written.

    Attributes:
        body: For a flag, a cohort or a group type its row, for a project its settings; of tenants
            and keys what :mod:`.access` has.
    """

    time_ms: int
    body: dict[str, Any]


class DefinitionState(State, frozen=True):
    """A definition as of everything folded so far; a deleted flag stays, marked in its body."""

    updated_at_ms: int
    body: dict[str, Any]


def fold_definition(
    state: DefinitionState | None, update: DefinitionUpdate, version: int
) -> DefinitionState:
    """
    Fold one write in.

    Returns:
        *state* itself where it is newer.
    """
    seen = DefinitionState(version=version, updated_at_ms=update.time_ms, body=update.body)
    return seen if state is None else join_definitions(state, seen)


def join_definitions(ours: DefinitionState, theirs: DefinitionState) -> DefinitionState:
    """Keep the later write."""
    return theirs if theirs.version > ours.version else ours
