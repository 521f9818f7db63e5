"""Changes of flags that are to come: planned, carried out in time, and ended."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from uuid_utils import uuid7

from flagstream.errors import ConflictError, InvalidRequestError, NotFoundError, quote
from flagstream.ports import Catalog, ProjectSnapshot, StateView
from flagstream.state.definitions import Kind
from flagstream.state.records import Record
from flagstream.state.schedules import End, Part, Schedule, part_name

from .bodies import Row
from .references import check_flag
from .schedule_bodies import new_plan
from .stages import (
    Action,
    Apply,
    Note,
    applied_step,
    is_due,
    next_action,
    watched,
)
from .writer import DefinitionsWriter, Editor

_MAX_OPEN_OF_PROJECT = 10_000
_MAX_OPEN = 10
# Each writes something that the next follows from.
_MAX_ACTIONS = 4


class Due(NamedTuple):
    """A schedule about which something is to be done."""

    project_id: int
    schedule_id: str


class Schedules:
    """
    Plans changes and carries them out.

    Any process may try to: what is to be done follows from the log alone, and is the same for all.
    """

    def __init__(
        self,
        catalog: Catalog,
        view: StateView,
        writer: DefinitionsWriter,
        *,
        clock_ms: Callable[[], int],
    ) -> None:
        self._catalog = catalog
        self._view = view
        self._writer = writer
        self._clock_ms = clock_ms

    async def add(self, editor: Editor, flag: str, body: Row) -> Schedule:
        """
        Plan changes of a flag.

        Args:
            flag: Its id or its key.

        Raises:
            NotFoundError: There is no such flag.
            InvalidRequestError: Naming the member that is wrong, or the step that the flag does not
                take.
        """
        async with self._writer.changing(editor.project_id) as snapshot:
            row = flag_row(snapshot, flag)
            if row["deleted"]:
                raise InvalidRequestError("The flag was deleted.")
            to_come = [each for each in snapshot.schedules.values() if each.is_open]
            if len(to_come) >= _MAX_OPEN_OF_PROJECT:
                detail = f"A project has at most {_MAX_OPEN_OF_PROJECT} schedules to come."
                raise InvalidRequestError(detail)
            if sum(each.plan.flag_id == row["id"] for each in to_come) >= _MAX_OPEN:
                raise InvalidRequestError(f"A flag has at most {_MAX_OPEN} schedules to come.")
            plan = new_plan(row, body, author=editor.author, now_ms=self._clock_ms())
            schedule = Schedule(id=str(uuid7()), plan=plan)
            await self._write(editor, schedule.id, Part.PLAN, plan)
        return schedule

    async def stop(self, editor: Editor, flag: str, schedule_id: str) -> Schedule:
        """
        Let no further step come; what was applied stays. Stopped again, it stays stopped.

        Raises:
            NotFoundError: There is no such schedule.
            ConflictError: All steps were applied.
        """
        async with self._writer.changing(editor.project_id) as snapshot:
            schedule = find_schedule(snapshot, flag, schedule_id)
            if schedule.end is not None:
                return schedule
            if not schedule.is_open:
                raise ConflictError("All steps were applied: revert it instead.")
            end = self._end(editor, "stopped")
            await self._write(editor, schedule.id, Part.END, end)
        return msgspec.structs.replace(schedule, end=end)

    async def revert(self, editor: Editor, flag: str, schedule_id: str) -> Schedule:
        """
        Let no further step come, and define the flag as it was before the first one.

        Raises:
            NotFoundError: There is no such schedule.
            ConflictError: The flag was changed by very many schedules since.
            InvalidRequestError: What was right then is not any more.
        """
        async with self._writer.changing(editor.project_id) as snapshot:
            schedule = find_schedule(snapshot, flag, schedule_id)
            end = schedule.end
            if end is None or end.status != "reverted":
                if schedule.marked and applied_step(flag_row(snapshot, flag), schedule.id) is None:
                    raise ConflictError("That was too long ago: restore it from the history.")
                end = self._end(editor, "reverted")
            course = msgspec.structs.replace(schedule.course, unrestorable=None)
            reverted = msgspec.structs.replace(schedule, end=end, course=course)
            # Before anything is written; should it be killed then, whoever looks next goes on.
            action = self._next(snapshot, editor.project_id, reverted)
            if reverted.end != schedule.end:
                await self._write(editor, schedule.id, Part.END, end)
            if reverted.course != schedule.course:
                await self._write(editor, schedule.id, Part.COURSE, course)
            if action is not None:
                await self._do(editor.project_id, reverted, action)
        return reverted

    async def resume(self, editor: Editor, flag: str, schedule_id: str) -> Schedule:
        """
        Let a paused schedule go on, on top of what the flag is now.

        Raises:
            NotFoundError: There is no such schedule.
            ConflictError: It is not paused, or what it was to change is not there any more.
        """
        async with self._writer.changing(editor.project_id) as snapshot:
            schedule = find_schedule(snapshot, flag, schedule_id)
            row, course = flag_row(snapshot, flag), schedule.course
            if schedule.end is not None or course.paused is None:
                raise ConflictError("The schedule is not paused.")
            applied = applied_step(row, schedule.id)
            expected = watched(schedule.plan, row)
            gone = [path for path, value in expected.items() if value is None]
            if row["deleted"] or (schedule.plan.conditions and gone):
                raise ConflictError("What the schedule was to change is not there any more.")
            done = 0 if applied is None else applied.step
            course = msgspec.structs.replace(
                course, paused=None, expected=expected, expected_at=done
            )
            await self._write(editor, schedule.id, Part.COURSE, course)
        return msgspec.structs.replace(schedule, course=course)

    def due(self) -> Sequence[Due]:
        """List what is to be done now."""
        now_ms = self._clock_ms()
        projects = ((each, self._catalog.project(each)) for each in self._catalog.project_ids())
        return [
            Due(project_id, schedule.id)
            for project_id, snapshot in projects
            for schedule in snapshot.schedules.values()
            if is_due(schedule, snapshot.flag_rows.get(schedule.plan.flag_key), now_ms)
        ]

    async def advance(self, due: Due) -> None:
        """
        Do what is to be done now about a schedule.

        Raises:
            UnavailableError: The project's last change is not folded in yet.
            LogUnavailableError: The log takes no writes now.
        """
        for _ in range(_MAX_ACTIONS):
            async with self._writer.changing(due.project_id) as snapshot:
                done = await self._act(snapshot, due)
            # A step is noted in the next round: what another node has done until then counts.
            if done is None or isinstance(done, Apply):
                break

    async def _act(self, snapshot: ProjectSnapshot, due: Due) -> Action | None:
        """Do the next thing, if only to say why it cannot be done; None where there is none."""
        project_id, schedule = due.project_id, snapshot.schedules[due.schedule_id]
        try:
            action = self._next(snapshot, project_id, schedule)
            if action is not None:
                await self._do(project_id, schedule, action)
        except InvalidRequestError as error:
            why = "paused" if schedule.end is None else "unrestorable"
            course = msgspec.structs.replace(schedule.course, **{why: error.detail})
            action = Note(course=course)
            await self._do(project_id, schedule, action)
        return action

    def _next(
        self, snapshot: ProjectSnapshot, project_id: int, schedule: Schedule
    ) -> Action | None:
        """
        Decide what to do next; None for nothing.

        Raises:
            InvalidRequestError: The flag does not take it.
        """
        key = schedule.plan.flag_key
        history = self._view.history(project_id, Kind.FLAG, key)
        action = next_action(schedule, snapshot.flag_rows.get(key), history, self._clock_ms())
        if action is not None and not isinstance(action, Note):
            check_flag(action.row, snapshot)
        return action

    async def _do(self, project_id: int, schedule: Schedule, action: Action) -> None:
        if isinstance(action, Note):
            author = f"schedule {schedule.id}"
            await self._write(Editor(project_id, author), schedule.id, Part.COURSE, action.course)
            return
        change_id = action.change_id if isinstance(action, Apply) else None
        await self._writer.write(
            Editor(project_id, action.author),
            Kind.FLAG,
            schedule.plan.flag_key,
            action.row,
            change_id=change_id,
        )

    def _end(self, editor: Editor, status: str) -> End:
        end = {"status": status, "time_ms": self._clock_ms(), "author": editor.author}
        return msgspec.convert(end, End)

    async def _write(self, editor: Editor, schedule_id: str, part: Part, record: Record) -> None:
        name = part_name(schedule_id, part)
        await self._writer.write(editor, Kind.SCHEDULE, name, msgspec.to_builtins(record))


def flag_row(snapshot: ProjectSnapshot, flag: str) -> Row:
    """
    Find a flag by its id or its key, deleted or not.

    Raises:
        NotFoundError: There is none.
    """
    by_key = snapshot.flag_rows.get(flag)
    for row in snapshot.flag_rows.values() if flag.isdecimal() else ():
        if str(row["id"]) == flag:
            return row
    if by_key is None:
        raise NotFoundError(f"There is no feature flag {quote(flag)}.")
    return by_key


def schedules_of(snapshot: ProjectSnapshot, row: Row) -> Sequence[Schedule]:
    """List the schedules of a flag, in the order of their making."""
    return [
        schedule for schedule in snapshot.schedules.values() if schedule.plan.flag_id == row["id"]
    ]


def find_schedule(snapshot: ProjectSnapshot, flag: str, schedule_id: str) -> Schedule:
    """
    Find a schedule of a flag.

    Raises:
        NotFoundError: There is none.
    """
    row, schedule = flag_row(snapshot, flag), snapshot.schedules.get(schedule_id)
    if schedule is None or schedule.plan.flag_id != row["id"]:
        raise NotFoundError(f"There is no schedule {quote(schedule_id)} of this flag.")
    return schedule
