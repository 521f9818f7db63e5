"""
Changes of flags that are to come: what was planned, how far it is, and how it ended.

Each of the three is a definition of its own with one kind of writer, so that none overwrites
another: whoever plans, whoever carries out, whoever ends it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

import msgspec

from .records import Record


class Part(StrEnum):
    """A part of a schedule; its definition's name is the schedule's id and this."""

    PLAN = "plan"
    COURSE = "course"
    END = "end"


class Step(Record, frozen=True):
    """
    One change that is to come.

    Attributes:
        at_ms: When.
        change: Members of the flag, as a change of it names them; in their stored form.
        rollout_percentage: Instead of *change*: that of the conditions that the plan names.
    """

    at_ms: int
    change: dict[str, Any] = {}
    rollout_percentage: float | None = None


class Plan(Record, frozen=True):
    """
    What was planned.

    Attributes:
        author: What is shown of the key that it was planned with.
        conditions: Indexes, in the flag, of those whose rollouts the steps set.
        steps: In the order of their times.
        expected: What the steps will change, as it was when they were planned.
    """

    flag_id: int
    flag_key: str
    author: str
    time_ms: int
    steps: list[Step]
    conditions: list[int] = []
    expected: dict[str, Any] = {}


class Mark(Record, frozen=True):
    """
    A step that was applied; earlier ones without a mark were passed over.

    Attributes:
        step: Its number, from 1.
        version: Of the flag from then on.
        change_id: Of the change in the flag's history.
    """

    step: int
    time_ms: int
    version: int
    change_id: str


class Course(Record, frozen=True):
    """
    How far a schedule is.

    Attributes:
        before: The flag's row before the first step.
        paused: Why it does not go on by itself; None where it does.
        expected: Goes before that of the plan, once somebody has let it go on.
        expected_at: The step after which that was.
        unrestorable: Why the flag could not be defined as before, though somebody wanted it to be.
    """

    before: dict[str, Any] | None = None
    marks: list[Mark] = []
    paused: str | None = None
    expected: dict[str, Any] | None = None
    expected_at: int = 0
    unrestorable: str | None = None


class End(Record, frozen=True):
    """That somebody has ended it."""

    status: Literal["stopped", "reverted"]
    time_ms: int
    author: str


_START = Course()


class Schedule(Record, frozen=True):
    """A schedule, of all its parts."""

    id: str
    plan: Plan
    course: Course = _START
    end: End | None = None

    @property
    def marked(self) -> int:
        """The number of the last step that is known to be applied; 0 for none."""
        return self.course.marks[-1].step if self.course.marks else 0

    @property
    def is_open(self) -> bool:
        """Whether there are steps to come, paused or not."""
        return self.end is None and self.marked < len(self.plan.steps)


def part_name(schedule_id: str, part: Part) -> str:
    """Name the definition of one part."""
    return f"{schedule_id}/{part}"


def parts_of(
    bodies: Mapping[str, Mapping[str, Any]],
) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """
    Sort the parts of schedules by whose they are.

    Args:
        bodies: Of the definitions, by their names.

    Returns:
        By the schedules' ids, in the order of their making.
    """
    parts: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, body in sorted(bodies.items()):
        schedule_id, _, part = name.partition("/")
        parts.setdefault(schedule_id, {})[part] = body
    return parts


def schedule_of(schedule_id: str, parts: Mapping[str, Any]) -> Schedule | None:
    """Put a schedule together; None where a newer version wrote what this one cannot read."""
    known: dict[str, Any] = {part.value: parts[part] for part in Part if part in parts}
    try:
        return msgspec.convert({**known, "id": schedule_id}, Schedule)
    except msgspec.ValidationError:
        return None
