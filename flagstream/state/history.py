"""Every change of every definition, kept for good: who, when, and what it was from then on."""

from typing import Any

from .records import Record, State


class DefinitionChange(Record, frozen=True):
    """
    A definition as somebody wrote it.

    Attributes:
        author: What is shown of the key that it was written with.
        body: The whole definition, as in its update.
    """

    time_ms: int
    author: str
    body: dict[str, Any]


class ChangeState(State, frozen=True):
    """A change as it was first heard of: history does not change."""

    time_ms: int
    author: str
    body: dict[str, Any]


def fold_change(state: ChangeState | None, update: DefinitionChange, version: int) -> ChangeState:
    """
    Fold one change in.

    Returns:
        *state* itself where there is one.
    """
    seen = ChangeState(
        version=version, time_ms=update.time_ms, author=update.author, body=update.body
    )
    return seen if state is None else join_changes(state, seen)


def join_changes(ours: ChangeState, theirs: ChangeState) -> ChangeState:
    """Keep the first that was written."""
    return theirs if theirs.version < ours.version else ours
