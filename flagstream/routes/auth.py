"""Who a request comes from: secret keys for the API, public tokens for clients."""

from aiohttp import hdrs, web

from flagstream.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from flagstream.management import Editor
from flagstream.ports import Project, Projects

from . import keys

CURRENT = "@current"
_COUNTED = web.RequestKey("is_counted", bool)
_SHOWN_CHARS = 4
_LONG_CHARS = 20


def project_of_key(request: web.Request) -> Project:
    """
    Read the project that the request's secret key belongs to.

    Raises:
        UnauthenticatedError: The key is missing or unknown, or the token is.
        ForbiddenError: The token is of another project.
        NotFoundError: The path names another project.
        RateLimitError: The project has used up its rate of such requests.
    """
    project = request.app[keys.PROJECTS].by_secret_key(bearer(request))
    if project is None:
        raise UnauthenticatedError("The secret key is unknown.")
    token = request.query.get("token")
    if token is not None and token != project.token:
        known_project(request.app[keys.PROJECTS], token)
        raise ForbiddenError("The secret key and the token are not of the same project.")
    _check_path(request, project)
    _count(request, project)
    return project


def _count(request: web.Request, project: Project) -> None:
    """Count a request for its project, once however often its key is read."""
    if _COUNTED not in request:
        request[_COUNTED] = True
        settings = request.app[keys.CATALOG].project(project.id).settings
        request.app[keys.RATES].api.take(project.id, settings.max_api_requests_per_s)


def editor_of(request: web.Request) -> Editor:
    """Read who makes a change; as :func:`project_of_key`."""
    return Editor(project_of_key(request).id, masked(bearer(request)))


def masked(key: str) -> str:
    """Write a secret key so that who has it knows it again, and nobody else learns it."""
    # Of a short one its end would be too much.
    return f"…{key[-_SHOWN_CHARS:]}" if len(key) >= _LONG_CHARS else "the secret key"


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


def _check_path(request: web.Request, project: Project) -> None:
    named = request.match_info.get("project", CURRENT)
    if named not in (CURRENT, str(project.id)):
        raise NotFoundError(f"There is no project {named} for this key.")


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
