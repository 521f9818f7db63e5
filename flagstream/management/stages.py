"""What is to be done next about a schedule, as follows from it and from the flag; no I/O."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from flagstream.errors import InvalidRequestError
from flagstream.ports import Change
from flagstream.state.schedules import Course, Mark, Plan, Schedule, Step

from .bodies import Row
from .rows import changed_row, restored_row

STEPS = "scheduled_steps"
"""The member of a flag's row that says which step of which schedule was applied to it last."""

AUTHOR = "schedule "
# Whoever labels a key "schedule bot" is somebody all the same.
_OF_A_SCHEDULE = re.compile(rf"\b{AUTHOR}[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}\b")
_OF_PEOPLE = ("description", "sort_key")
_WHO = ("bucketing", "bucketing_identifier")
_KEPT = 20
_AGGREGATION = "aggregation_group_type_index"


class AppliedStep(msgspec.Struct, frozen=True):
    """
    The step of a schedule that was applied to a flag last.

    Attributes:
        version: Of the flag from then on.
    """

    step: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """
    Write the flag as it is from a step on.

    Attributes:
        change_id: The same whoever does it, on top of the same version of the flag.
    """

    row: Row
    author: str
    change_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Write how far the schedule is."""

    course: Course


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Write the flag as it was before the first step, or as somebody has left it."""

    row: Row
    author: str


Action = Apply | Note | Restore


def applied_step(row: Row | None, schedule_id: str) -> AppliedStep | None:
    """Read which step of a schedule was applied to a flag last."""
    known = None if row is None else row.get(STEPS, {}).get(schedule_id)
    return None if known is None else msgspec.convert(known, AppliedStep)


def next_action(
    schedule: Schedule, row: Row | None, history: Sequence[Change], now_ms: int
) -> Action | None:
    """
    Decide what to do next about a schedule; None for nothing.

    Args:
        row: Of its flag; None where that has gone.
        history: Of its flag; looked at only where :func:`is_due`.

    Raises:
        InvalidRequestError: The flag does not take a step any more.
    """
    applied = applied_step(row, schedule.id)
    if schedule.end is not None:
        return _reverting(schedule, row, applied, now_ms)
    if schedule.course.paused is not None:
        return None
    if row is not None and applied is not None and applied.step > schedule.marked:
        return _settling(schedule, row, applied, history, now_ms)
    return _stepping(schedule, row, applied, now_ms)


def is_due(schedule: Schedule, row: Row | None, now_ms: int) -> bool:
    """Tell, in a microsecond, whether there may be something to do about a schedule."""
    applied = applied_step(row, schedule.id)
    if schedule.end is not None:
        is_wanted = schedule.end.status == "reverted" and schedule.course.unrestorable is None
        return is_wanted and applied is not None
    done = _done(schedule, applied)
    if schedule.course.paused is not None:
        return False
    steps = schedule.plan.steps
    return done > schedule.marked or (done < len(steps) and steps[done].at_ms <= now_ms)


def _done(schedule: Schedule, applied: AppliedStep | None) -> int:
    """Tell which step came last: a flag remembers those of its latest schedules alone."""
    return schedule.marked if applied is None else applied.step


def _reverting(
    schedule: Schedule, row: Row | None, applied: AppliedStep | None, now_ms: int
) -> Action | None:
    before = schedule.course.before
    end = schedule.end
    if end is None or end.status != "reverted" or before is None:
        return None
    if row is None or applied is None or schedule.course.unrestorable is not None:
        return None
    restored = restored_row(row, before, now_ms=now_ms)
    author = f"{end.author}, {AUTHOR}{schedule.id} reverted"
    return Restore(row=_marked(restored, schedule.id, None), author=author)


def _settling(
    schedule: Schedule, row: Row, applied: AppliedStep, history: Sequence[Change], now_ms: int
) -> Action:
    """Note a step that was applied, unless somebody's change was lost by it at another node."""
    lost = _lost_change(schedule, row, applied, history)
    if lost is not None:
        restored = restored_row(row, lost.state.body, now_ms=now_ms)
        author = f"{lost.state.author}, restored from under {AUTHOR}{schedule.id}"
        # With the steps that it was made on top of: those that it does not hinder come once more.
        return Restore(row={**restored, STEPS: lost.state.body.get(STEPS, {})}, author=author)
    mark = Mark(
        step=applied.step,
        time_ms=now_ms,
        version=applied.version,
        change_id=_change_id(schedule, applied.step, applied.version),
    )
    marks = [*schedule.course.marks, mark]
    return Note(course=msgspec.structs.replace(schedule.course, marks=marks))


def _lost_change(
    schedule: Schedule, row: Row, applied: AppliedStep, history: Sequence[Change]
) -> Change | None:
    """
    Find a person's change that a step was not made on top of, and that it hides.

    Only where several nodes write: the log puts one behind the other, and the later one counts.
    """
    if row["version"] != applied.version:
        return None
    lost = [
        change
        for change in history
        if change.state.time_ms >= schedule.plan.time_ms
        and change.state.body.get("version", 0) >= applied.version
        and _OF_A_SCHEDULE.search(change.state.author) is None
    ]
    return max(lost, key=lambda change: change.state.body["version"], default=None)


def _stepping(
    schedule: Schedule, row: Row | None, applied: AppliedStep | None, now_ms: int
) -> Action | None:
    done = _done(schedule, applied)
    due = [
        number
        for number, step in enumerate(schedule.plan.steps, 1)
        if number > done and step.at_ms <= now_ms
    ]
    if not due:
        return None
    course = schedule.course
    if (reason := obstacle(schedule, row, done)) is not None or row is None:
        return Note(course=msgspec.structs.replace(course, paused=reason))
    if done == 0 and (course.before is None or course.before["version"] != row["version"]):
        return Note(course=msgspec.structs.replace(course, before=dict(row)))
    after = row
    for number in due:
        after = stepped(schedule.plan, after, schedule.plan.steps[number - 1], now_ms=now_ms)
    version = row["version"] + 1
    marked = _marked({**after, "version": version}, schedule.id, AppliedStep(due[-1], version))
    return Apply(
        row=marked,
        author=_author(schedule, due),
        change_id=_change_id(schedule, due[-1], version),
    )


def obstacle(schedule: Schedule, row: Row | None, done: int) -> str | None:
    """
    Say why a schedule cannot go on: somebody has changed just what it is to change.

    Args:
        done: The number of the last step that was applied.
    """
    if row is None or row["deleted"] or row["id"] != schedule.plan.flag_id:
        return "the flag was deleted"
    expected = _expected(schedule, done)
    present = watched(schedule.plan, row)
    changed = [path for path, value in expected.items() if present.get(path) != value]
    if not changed:
        return None
    return f"{', '.join(changed)}: somebody has changed what this schedule was to change"


def watched(plan: Plan, row: Row) -> dict[str, Any]:
    """Read what the steps of a plan change, by its dotted path."""
    if plan.conditions:
        return {f"filters.groups[{at}]": _condition(row, at) for at in plan.conditions}
    filters = {f"filters.{name}": value for name, value in row["filters"].items()}
    known = {**row, **filters}
    return {path: known.get(path) for step in plan.steps for path in _changed(step)}


def _changed(step: Step) -> Mapping[str, Any]:
    """Write the members that a step changes, by their dotted paths."""
    filters = step.change.get("filters", {})
    others = {name: value for name, value in step.change.items() if name != "filters"}
    return {**others, **{f"filters.{name}": value for name, value in filters.items()}}


def _condition(row: Row, at: int) -> Any:
    """Read a condition with all that decides who is in it; None where there is none."""
    filters = row["filters"]
    conditions = filters.get("groups") or []
    if at >= len(conditions):
        return None
    return {
        _AGGREGATION: filters.get(_AGGREGATION),
        **{name: row.get(name) for name in _WHO},
        **{name: value for name, value in conditions[at].items() if name not in _OF_PEOPLE},
        "rollout_percentage": percentage(conditions[at]),
    }


def percentage(condition: Row) -> float:
    """Read a condition's rollout; absent and null are all."""
    known = condition.get("rollout_percentage")
    return 100.0 if known is None else float(known)


def _expected(schedule: Schedule, done: int) -> dict[str, Any]:
    """Tell what the flag is to be like after so many steps, as far as steps change it."""
    plan, course = schedule.plan, schedule.course
    expected = dict(plan.expected if course.expected is None else course.expected)
    for step in plan.steps[course.expected_at : done]:
        for path in expected if plan.conditions else ():
            expected[path] = {**expected[path], "rollout_percentage": step.rollout_percentage}
        expected.update(_changed(step))
    return expected


def stepped(plan: Plan, row: Row, step: Step, *, now_ms: int) -> dict[str, Any]:
    """
    Make a flag's row as it is from a step on.

    Raises:
        InvalidRequestError: The flag does not take it.
    """
    if not plan.conditions:
        return changed_row(row, step.change, now_ms=now_ms)
    wider = {"rollout_percentage": step.rollout_percentage}
    conditions = [
        {**condition, **wider} if at in plan.conditions else condition
        for at, condition in enumerate(row["filters"].get("groups") or [])
    ]
    return changed_row(row, {"filters": {"groups": conditions}}, now_ms=now_ms)


def _marked(row: Row, schedule_id: str, applied: AppliedStep | None) -> dict[str, Any]:
    steps: Mapping[str, Any] = row.get(STEPS, {})
    others = {name: value for name, value in steps.items() if name != schedule_id}
    own = {} if applied is None else {schedule_id: msgspec.to_builtins(applied)}
    # Ids sort by the time of their making.
    latest = sorted({**others, **own}.items())[-_KEPT:]
    return {**row, STEPS: dict(latest)}


def _author(schedule: Schedule, due: Sequence[int]) -> str:
    author = f"{AUTHOR}{schedule.id}, step {due[-1]} of {len(schedule.plan.steps)}"
    passed = ", ".join(map(str, due[:-1]))
    return f"{author} (passed over: {passed})" if passed else author


def _change_id(schedule: Schedule, step: int, version: int) -> str:
    """
    Name the change that a step makes, alike at every node; ids sort by the time in them.

    Source:
        RFC 9562, 5.7: a UUID of version 7, whose random bits are a hash.
    """
    digest = hashlib.sha256(f"{schedule.id} {step} {version}".encode()).digest()
    bits = int.from_bytes(digest[:10])
    time_ms = max(schedule.plan.steps[step - 1].at_ms, 0)
    high = (time_ms << 16) | (7 << 12) | (bits >> 64 & 0xFFF)
    low = (0b10 << 62) | (bits & ((1 << 62) - 1))
    return str(UUID(int=(high << 64) | low))


def status(schedule: Schedule, row: Row | None) -> str:
    """Say in a word how far a schedule is."""
    if schedule.end is not None:
        return schedule.end.status
    done = steps_done(schedule, row)
    if done == len(schedule.plan.steps):
        return "done"
    if schedule.course.paused is not None:
        return "paused"
    return "running" if done else "pending"


def steps_done(schedule: Schedule, row: Row | None) -> int:
    """Tell the number of the last step that was applied, whether it is noted yet or not."""
    applied = applied_step(row, schedule.id)
    return max(schedule.marked, 0 if applied is None else applied.step)


def step_status(schedule: Schedule, row: Row | None, number: int) -> str:
    """Say in a word what became of a step."""
    done = steps_done(schedule, row)
    if number > done:
        return "pending" if schedule.end is None else "cancelled"
    applied = {mark.step for mark in schedule.course.marks} | {done}
    return "applied" if number in applied else "passed_over"


def previews(schedule: Schedule, row: Row | None, now_ms: int) -> Mapping[int, Row]:
    """
    Make the rows that a flag is to have, by the numbers of the steps that are still to come.

    Returns:
        As far as the flag takes them as it is now; nothing where the schedule does not go on.
    """
    done, found = steps_done(schedule, row), dict[int, Row]()
    if row is None or schedule.end is not None or obstacle(schedule, row, done) is not None:
        return found
    for number, step in enumerate(schedule.plan.steps[done:], done + 1):
        try:
            row = found[number] = stepped(schedule.plan, row, step, now_ms=now_ms)
        except InvalidRequestError:
            break
    return found
