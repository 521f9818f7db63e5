"""Who a request comes from: secret keys for the API, public tokens for clients."""

from aiohttp import hdrs, web

from flagstream.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from flagstream.management import Editor
from flagstream.openapi import Access
from flagstream.ports import Caller, Project, Projects
from flagstream.state.access import FIRST_PROJECT_ID, Scope

from . import keys
from .responses import Handler

CURRENT = "@current"
_MAX_DIGITS = 10


def authorized(handler: Handler, access: Access | Scope) -> Handler:
    """
    Let a handler be asked only by who holds a secret key that allows it.

    The handler finds out by :func:`caller_of`, :func:`project_of_key` and :func:`editor_of`.
    """

    async def ask(request: web.Request) -> web.StreamResponse:
        caller = await request.app[keys.CALLERS].caller(bearer(request))
        project = _project(request, caller)
        _check_scope(caller, access)
        rate = request.app[keys.CATALOG].project(project.id).settings.max_api_requests_per_s
        request.app[keys.RATES].api.take(project.id, rate)
        if caller.key is not None:
            request.app[keys.SECRET_KEYS].note_use(caller.key)
        request[keys.CALLER], request[keys.PROJECT] = caller, project
        return await handler(request)

    return ask


def _project(request: web.Request, caller: Caller) -> Project:
    """
    Find the project that is asked for: by the key, or for the operator by path or token.

    Raises:
        UnauthenticatedError: The key's project is archived, or the token is unknown.
        ForbiddenError: The token is of another project.
        NotFoundError: The path names another project.
    """
    projects, token = request.app[keys.PROJECTS], request.query.get("token")
    named = request.match_info.get("project", CURRENT)
    of_token = None if token is None else projects.by_token(token)
    if caller.key is not None:
        project = _project_of(projects, caller.key.project_id)
        if named not in (CURRENT, str(project.id)):
            raise NotFoundError(f"There is no project {named} for this key.")
    elif named == CURRENT:
        project = of_token or _project_of(projects, FIRST_PROJECT_ID)
    else:
        project = _named_project(projects, named)
    if token is not None and (of_token is None or of_token.id != project.id):
        known_project(projects, token)
        raise ForbiddenError("The secret key and the token are not of the same project.")
    return project


def _project_of(projects: Projects, project_id: int) -> Project:
    project = projects.by_id(project_id)
    if project is None or project.is_archived:
        raise UnauthenticatedError("The project of the secret key is archived.")
    return project


def _named_project(projects: Projects, named: str) -> Project:
    is_id = named.isascii() and named.isdecimal() and len(named) <= _MAX_DIGITS
    project = projects.by_id(int(named)) if is_id and str(int(named)) == named else None
    if project is None:
        raise NotFoundError(f"There is no project {named}.")
    return project


def _check_scope(caller: Caller, access: Access | Scope) -> None:
    """
    Check that a key allows what is asked.

    Raises:
        ForbiddenError: Naming the scope that it lacks.
    """
    if caller.key is None or access is Access.SECRET_KEY:
        return
    if not isinstance(access, Scope):
        raise ForbiddenError("This is for the operator's key alone.")
    if not caller.allows(access):
        raise ForbiddenError(f"The secret key lacks the scope {access}.")


def caller_of(request: web.Request) -> Caller:
    """Read who asks what needs a secret key."""
    return request[keys.CALLER]


def project_of_key(request: web.Request) -> Project:
    """Read the project that is asked for by a secret key."""
    return request[keys.PROJECT]


def editor_of(request: web.Request) -> Editor:
    """Read who makes a change, likewise."""
    return Editor(project_of_key(request).id, caller_of(request).author)


def bearer(request: web.Request) -> str:
    """
    Read what the request authenticates itself with.

    Raises:
        UnauthenticatedError: There is nothing.
    """
    scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise UnauthenticatedError(
            "Authentication credentials were not provided.", code="not_authenticated"
        )
    return key.strip()


def project_of_token(request: web.Request, token: object) -> Project:
    """
    Read the project of a public token.

    Raises:
        UnauthenticatedError: The token is missing or unknown.
    """
    return known_project(request.app[keys.PROJECTS], token)


def known_project(projects: Projects, token: object) -> Project:
    """Read the project of a public token, likewise."""
    project = projects.by_token(token) if isinstance(token, str) and token else None
    if project is not None:
        return project
    if not token:
        raise UnauthenticatedError(
            "The project token is missing: send it as `token` or `api_key`.",
            code="not_authenticated",
        )
    raise UnauthenticatedError("The project token is unknown.")
