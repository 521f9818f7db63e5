"""Projects made and archived, and their public tokens replaced."""

from collections.abc import Callable, Sequence
from dataclasses import asdict

from flagstream.errors import (
    ConflictError,
    InvalidFieldError,
    InvalidRequestError,
    UnavailableError,
)
from flagstream.keys import new_token
from flagstream.ports import Project, Projects, ProjectSettings, StateView
from flagstream.state.access import FIRST_PROJECT_ID, OldToken, Tenant
from flagstream.state.definitions import Kind

from .access_bodies import check_members, overlap_ms_of
from .bodies import NAME, Row
from .settings import checked_settings
from .writer import DefinitionsWriter, Editor, change_of, definition_of

_MAX_PROJECTS = 10_000
_MAX_OLD_TOKENS = 10
_NO_PROJECT = 0
# Of the first change of a project: before all others, and the same on every node.
_CLAIM_ID = "00000000-0000-0000-0000-000000000000"


class ProjectManagement:
    """The service behind the projects of a server."""

    def __init__(
        self,
        writer: DefinitionsWriter,
        projects: Projects,
        view: StateView,
        *,
        clock_ms: Callable[[], int],
    ) -> None:
        self._writer = writer
        self._projects = projects
        self._view = view
        self._clock_ms = clock_ms

    async def create(self, author: str, body: Row) -> Project:
        """
        Make a project with the settings that *body* names; a name among them.

        Raises:
            InvalidRequestError: Naming the member that is wrong, or there are too many projects.
            UnavailableError: The log is not folded in time; nothing was made.
        """
        settings = ProjectSettings(**checked_settings(body))
        if "name" not in body:
            raise InvalidFieldError("name", NAME, None)
        async with self._writer.changing(_NO_PROJECT):
            if len(self._projects.all()) >= _MAX_PROJECTS:
                raise InvalidRequestError(f"A server has at most {_MAX_PROJECTS} projects.")
            now_ms = self._clock_ms()
            tenant = Tenant(token=new_token(), created_at_ms=now_ms, created_by=author)
            project_id = await self._claimed(author, tenant)
            editor, name = Editor(project_id, author), str(project_id)
            row = asdict(settings)
            await self._writer.append(
                project_id,
                [
                    definition_of(project_id, Kind.TENANT, name, tenant.to_body(), now_ms),
                    change_of(editor, Kind.PROJECT, name, row, now_ms),
                    definition_of(project_id, Kind.PROJECT, name, row, now_ms),
                ],
            )
        return Project(id=project_id, token=tenant.token, created_at_ms=now_ms, created_by=author)

    async def _claimed(self, author: str, tenant: Tenant) -> int:
        """
        Take an id that nobody has had.

        A history keeps the first change of an id that comes in, so of several nodes that want the
        same number one has it, and the others see that and go on.
        """
        project_id = max(project.id for project in self._projects.all()) + 1
        while True:
            claim = change_of(
                Editor(project_id, author),
                Kind.TENANT,
                str(project_id),
                tenant.to_body(),
                tenant.created_at_ms,
                change_id=_CLAIM_ID,
            )
            if not await self._writer.append(project_id, [claim]):
                raise UnavailableError("The last change is not folded in yet.", retry_after_s=1)
            first, *_ = self._view.history(project_id, Kind.TENANT, str(project_id))
            if first.state.body["token"] == tenant.token:
                return project_id
            project_id += 1

    async def archive(self, author: str, project: Project, *, is_archived: bool) -> Project:
        """
        Refuse all tokens and keys of a project from now on, or take them again.

        Raises:
            ConflictError: It is the one that the settings give.
            UnavailableError: It is written, but this server does not know it yet.
        """
        self._check_made(project)
        async with self._writer.changing(project.id):
            now = self._present(project)
            tenant = _tenant(now, now.token, now.old_tokens, is_archived=is_archived)
            await self._write(Editor(project.id, author), tenant)
        return self._present(project)

    async def rotate_token(self, editor: Editor, project: Project, body: Row) -> Project:
        """
        Give a project another public token; the old one is taken for ``overlap_s`` of *body*.

        Raises:
            ConflictError: It is the project that the settings give.
            InvalidRequestError: Naming the member that is wrong.
            UnavailableError: It is written, but this server does not know it yet.
        """
        check_members(body, "overlap_s")
        overlap_ms = overlap_ms_of(body)
        self._check_made(project)
        async with self._writer.changing(project.id):
            now, now_ms = self._present(project), self._clock_ms()
            old_tokens = [
                OldToken(token=now.token, ends_at_ms=now_ms + overlap_ms),
                *(each for each in now.old_tokens if each.ends_at_ms > now_ms),
            ]
            tenant = _tenant(
                now, new_token(), old_tokens[:_MAX_OLD_TOKENS], is_archived=now.is_archived
            )
            await self._write(editor, tenant)
        return self._present(project)

    async def _write(self, editor: Editor, tenant: Tenant) -> None:
        name, body, now_ms = str(editor.project_id), tenant.to_body(), self._clock_ms()
        is_visible = await self._writer.append(
            editor.project_id,
            [
                change_of(editor, Kind.TENANT, name, body, now_ms),
                definition_of(editor.project_id, Kind.TENANT, name, body, now_ms),
            ],
        )
        if not is_visible:
            raise UnavailableError("The change is not folded in yet.", retry_after_s=1)

    def _present(self, project: Project) -> Project:
        """Read a project again, as others may have changed it meanwhile."""
        return self._projects.by_id(project.id) or project

    def _check_made(self, project: Project) -> None:
        if project.id == FIRST_PROJECT_ID:
            raise ConflictError(
                "The first project and its token are given by the settings and keys.json: change "
                "them there."
            )


def _tenant(
    project: Project, token: str, old_tokens: Sequence[OldToken], *, is_archived: bool
) -> Tenant:
    return Tenant(
        token=token,
        old_tokens=[*old_tokens],
        is_archived=is_archived,
        created_at_ms=project.created_at_ms or 0,
        created_by=project.created_by,
    )
