"""Changes of flags, cohorts and settings: checked, and written on top of the ones before."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace

from flagstream.errors import ConflictError, InvalidRequestError, NotFoundError
from flagstream.ports import ProjectSettings, ProjectSnapshot
from flagstream.state.definitions import Kind

from .bodies import Row
from .cohort_rows import (
    changed_cohort_row,
    new_cohort_row,
    restored_cohort_row,
    with_members,
)
from .group_type_rows import changed_type_row
from .references import check_cohort, check_flag
from .rows import changed_row, new_row, restored_row
from .settings import checked_settings
from .writer import DefinitionsWriter, Editor

_MAX_FLAGS = 10_000
_MAX_COHORTS = 1_000


class Management:
    """The service behind the API, the console and the command line."""

    def __init__(self, writer: DefinitionsWriter, *, clock_ms: Callable[[], int]) -> None:
        self._writer = writer
        self._clock_ms = clock_ms

    async def create_flag(self, editor: Editor, body: Row) -> Row:
        """
        Add a flag.

        Raises:
            InvalidRequestError: Naming what is wrong; ``unique`` where the key is taken.
            UnavailableError: The project's last change is not folded in yet.
        """
        async with self._writer.changing(editor.project_id) as snapshot:
            rows = snapshot.flag_rows
            row = new_row(
                body,
                flag_id=max((row["id"] for row in rows.values()), default=0) + 1,
                bucketing=snapshot.settings.bucketing,
                now_ms=self._clock_ms(),
            )
            if not rows.get(row["key"], {"deleted": True})["deleted"]:
                raise InvalidRequestError(
                    "There is already a feature flag with this key.", code="unique", attr="key"
                )
            if len(rows) >= _MAX_FLAGS and row["key"] not in rows:
                raise InvalidRequestError(f"A project has at most {_MAX_FLAGS} flags.")
            check_flag(row, snapshot)
            await self._writer.write(editor, Kind.FLAG, row["key"], row)
        return row

    async def update_flag(self, editor: Editor, flag_id: int, body: Row) -> Row:
        """
        Change what *body* names of a flag; ``deleted`` among it deletes or restores.

        Raises:
            NotFoundError: There is no flag with this id.
            ConflictError: ``version`` in *body* is not the flag's present one.
            InvalidRequestError: Naming every member that is wrong.
        """
        async with self._writer.changing(editor.project_id) as snapshot:
            row = find_flag(snapshot, flag_id)
            _check_version(Kind.FLAG, row, body)
            row = changed_row(row, body, now_ms=self._clock_ms())
            check_flag(row, snapshot)
            await self._writer.write(editor, Kind.FLAG, row["key"], row)
        return row

    async def restore_flag(self, editor: Editor, flag_id: int, before: Row) -> Row:
        """
        Define a flag as it was, by a row from its history.

        Raises:
            NotFoundError: There is no flag with this id.
            InvalidRequestError: What was right then is not any more, as a cohort that has gone.
        """
        async with self._writer.changing(editor.project_id) as snapshot:
            row = restored_row(find_flag(snapshot, flag_id), before, now_ms=self._clock_ms())
            check_flag(row, snapshot)
            await self._writer.write(editor, Kind.FLAG, row["key"], row)
        return row

    async def create_cohort(self, editor: Editor, body: Row) -> Row:
        """
        Add a cohort, with the id that *body* names where that is free.

        Raises:
            InvalidRequestError: Naming every member that is wrong, or every place that names a
                cohort that is not there.
            UnavailableError: The project's last change is not folded in yet.
        """
        async with self._writer.changing(editor.project_id) as snapshot:
            rows = snapshot.cohort_rows
            row = new_cohort_row(body, cohort_rows=rows, now_ms=self._clock_ms())
            if len(rows) >= _MAX_COHORTS and row["id"] not in rows:
                raise InvalidRequestError(
                    f"A project has at most {_MAX_COHORTS} cohorts; that of one that was deleted "
                    "can be taken over with its id."
                )
            check_cohort(row, snapshot)
            await self._write_cohort(editor, row)
        return row

    async def update_cohort(self, editor: Editor, cohort_id: int, body: Row) -> Row:
        """
        Change what *body* names of a cohort; ``deleted`` among it deletes or restores.

        Raises:
            NotFoundError: There is no cohort with this id.
            ConflictError: ``version`` in *body* is not the cohort's present one, or the cohort
                would be deleted while flags or other cohorts use it.
            InvalidRequestError: Naming every member that is wrong, or every place that names a
                cohort that is not there or that refers to this one.
        """
        async with self._writer.changing(editor.project_id) as snapshot:
            row = find_cohort(snapshot, cohort_id)
            _check_version(Kind.COHORT, row, body)
            row = changed_cohort_row(row, body, now_ms=self._clock_ms())
            check_cohort(row, snapshot)
            await self._write_cohort(editor, row)
        return row

    async def restore_cohort(self, editor: Editor, cohort_id: int, before: Row) -> Row:
        """Define a cohort as it was, likewise; its members stay as they are."""
        async with self._writer.changing(editor.project_id) as snapshot:
            row = find_cohort(snapshot, cohort_id)
            row = restored_cohort_row(row, before, now_ms=self._clock_ms())
            check_cohort(row, snapshot)
            await self._write_cohort(editor, row)
        return row

    async def add_members(self, editor: Editor, cohort_id: int, members: Sequence[str]) -> Row:
        """
        Add to the members of a static cohort, behind those that it has; nobody is in it twice.

        Raises:
            NotFoundError: There is no cohort with this id.
            InvalidRequestError: The cohort is not static, or would have too many members.
        """
        return await self._change_members(editor, cohort_id, lambda known: [*known, *members])

    async def remove_members(self, editor: Editor, cohort_id: int, members: Sequence[str]) -> Row:
        """Take members out of a static cohort, likewise; passes over those that are not in it."""
        gone = frozenset(members)
        return await self._change_members(
            editor, cohort_id, lambda known: [each for each in known if each not in gone]
        )

    async def _change_members(
        self, editor: Editor, cohort_id: int, change: Callable[[Iterable[str]], list[str]]
    ) -> Row:
        async with self._writer.changing(editor.project_id) as snapshot:
            row = find_cohort(snapshot, cohort_id)
            changed = with_members(row, change(row["members"]), now_ms=self._clock_ms())
            if changed["members"] == row["members"]:
                return row
            await self._write_cohort(editor, changed)
        return changed

    async def _write_cohort(self, editor: Editor, row: Row) -> None:
        await self._writer.write(editor, Kind.COHORT, str(row["id"]), row)

    async def update_group_types(self, editor: Editor, bodies: Sequence[Row]) -> None:
        """
        Change what each of *bodies* names of a group type: all, or where one is wrong none.

        Raises:
            InvalidRequestError: Naming the member that is wrong.
            NotFoundError: No type has this index.
        """
        async with self._writer.changing(editor.project_id) as snapshot:
            types, rows = snapshot.group_types.types, dict(snapshot.group_type_rows)
            for number, body in enumerate(bodies):
                path = f"[{number}]." if len(bodies) > 1 else ""
                changed = changed_type_row(types, rows, body, path)
                rows[changed["group_type"]] = changed
            for name, row in rows.items():
                if row is not snapshot.group_type_rows.get(name):
                    await self._writer.write(editor, Kind.GROUP_TYPE, name, row)

    async def update_settings(self, editor: Editor, body: Row) -> ProjectSettings:
        """
        Change what *body* names of a project's settings.

        Raises:
            InvalidRequestError: Naming the member that is wrong.
        """
        async with self._writer.changing(editor.project_id) as snapshot:
            settings = replace(snapshot.settings, **checked_settings(body))
            await self._writer.write(editor, Kind.PROJECT, str(editor.project_id), asdict(settings))
        return settings


def find_flag(snapshot: ProjectSnapshot, flag_id: int) -> Row:
    """
    Find a flag by its id, deleted or not.

    Raises:
        NotFoundError: There is none.
    """
    for row in snapshot.flag_rows.values():
        if row["id"] == flag_id:
            return row
    raise NotFoundError(f"There is no feature flag with id {flag_id}.")


def find_cohort(snapshot: ProjectSnapshot, cohort_id: int) -> Row:
    """
    Find a cohort by its id, deleted or not.

    Raises:
        NotFoundError: There is none.
    """
    row = snapshot.cohort_rows.get(cohort_id)
    if row is None:
        raise NotFoundError(f"There is no cohort with id {cohort_id}.")
    return row


def _check_version(kind: Kind, row: Row, body: Row) -> None:
    """Refuse a change that was made on top of another version than the present one."""
    if body.get("version", row["version"]) != row["version"]:
        raise ConflictError(
            f"The {kind} was changed meanwhile: it has version {row['version']}.", attr="version"
        )
