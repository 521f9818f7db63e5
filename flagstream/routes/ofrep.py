"""OpenFeature's remote evaluation protocol (OFREP): one flag for servers, all of them for pages."""

from functools import lru_cache, wraps
from hashlib import blake2b
from typing import NamedTuple

import orjson
from aiohttp import hdrs, web
from multidict import CIMultiDict, istr

from flagstream.errors import (
    InvalidRequestError,
    NotFoundError,
    QuotaExceededError,
    RequestError,
    UnauthenticatedError,
)
from flagstream.openapi import Access, Answer, described
from flagstream.ports import Project, Projects, ProjectSnapshot
from flagstream.wire import (
    INVALID_CONTEXT,
    TARGETING_KEY_MISSING,
    FlagsRequest,
    read_ofrep_request,
    request_runtime,
    unwrap_body,
)

from . import keys, ofrep_items
from .auth import bearer
from .bodies import read_rest
from .flag_answers import Asked, FlagService, Limits
from .position import POSITION
from .responses import Handler, client_route, is_known, json_headers
from .shapes import ofrep as shapes

_X_API_KEY = istr("X-API-Key")
_FLAG_NOT_FOUND = "flag_not_found"
_SMALL_BYTES = 2048  # up to which a body is remembered as it was read
_CODES = {code: code.upper() for code in (INVALID_CONTEXT, TARGETING_KEY_MISSING, _FLAG_NOT_FOUND)}


class _Question(NamedTuple):
    """
    What is asked, and by whom.

    Attributes:
        is_secret: With a secret key.
        digest: Of the body.
    """

    service: FlagService
    snapshot: ProjectSnapshot
    asked: Asked
    is_secret: bool
    digest: bytes


def _refusing(handler: Handler) -> Handler:
    """Answer what *handler* refuses as the protocol does."""

    @wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except RequestError as error:
            return _failure(request, error)

    return answer


def _failure(request: web.Request, error: RequestError) -> web.Response:
    code = "PARSE_ERROR" if isinstance(error, InvalidRequestError) else "GENERAL"
    failure = {"errorCode": _CODES.get(error.code, code), "errorDetails": error.detail}
    if (key := request.match_info.get("key")) is not None:
        failure["key"] = key
    response = _response(request, orjson.dumps(failure), error.status)
    if error.retry_after_s is not None:
        response.headers[hdrs.RETRY_AFTER] = str(error.retry_after_s)
    return response


@described(
    Answer(shapes.FlagEvaluation),
    *shapes.REFUSALS,
    Answer(shapes.EvaluationRefusal, status=404, text="There is no such flag that is active."),
    Answer(shapes.EvaluationRefusal, status=500, text="What it follows from cannot be read now."),
    access=Access.TOKEN_OR_KEY,
    body=shapes.ASKED,
)
@_refusing
async def one(request: web.Request) -> web.Response:
    """Answer one flag, as servers ask for it."""
    question, key = await _question(request), request.match_info["key"]
    evaluation = question.service.answers.evaluate_one(question.asked, key)
    if evaluation is None and question.is_secret:
        # Who may see definitions learns that it is off, instead of an error.
        evaluation = question.snapshot.project.disabled.get(key)
    if evaluation is None:
        detail = f"There is no flag {key}, or it is not active."
        raise NotFoundError(detail, code=_FLAG_NOT_FOUND)
    return _response(request, ofrep_items.item(evaluation), ofrep_items.status(evaluation))


@described(
    Answer(shapes.FlagEvaluations, headers={str(hdrs.ETAG): "For `If-None-Match`."}),
    Answer(None, status=304, headers={str(hdrs.ETAG): "The same."}),
    *shapes.REFUSALS,
    access=Access.TOKEN_OR_KEY,
    body=shapes.ASKED,
)
@_refusing
async def every(request: web.Request) -> web.Response:
    """
    Answer all flags, as pages ask for them.

    ``ETag`` is of the request and of all that it is answered from.
    """
    question = await _question(request)
    parts = question.service.answers.ofrep(question.asked)
    digest = blake2b(question.digest, digest_size=ofrep_items.DIGEST_BYTES)
    for part in parts:
        digest.update(part.digest)
    etag = digest.hexdigest()
    if is_known(request, etag):
        response = web.Response(status=304, headers=_headers(request.headers.get(hdrs.ORIGIN)))
    else:
        members = b",".join([member for part in parts for member in part.members])
        response = _response(request, b'{"flags":[%b]}' % members)
    response.headers[hdrs.ETAG] = f'"{etag}"'
    return response


async def _question(request: web.Request) -> _Question:
    service, headers = request.app[keys.FLAGS], request.headers
    project, is_secret = _asking(service.projects, request)
    raw = await request.content.readany()
    if not request.content.at_eof():
        raw = await read_rest(request, raw, service.limits.body_bytes)
    read = _read_again if len(raw) <= _SMALL_BYTES else _read
    asked, digest = read(raw, headers.get(hdrs.CONTENT_ENCODING), service.limits)
    if (wanted := headers.get(POSITION)) is not None:
        await service.catch_up.to(wanted)
    snapshot = service.catalog.project(project.id)
    if snapshot.settings.is_quota_limited:
        raise QuotaExceededError("The project is over its quota.")
    runtime = None
    if snapshot.flags.has_runtimes:
        runtime = request_runtime("server" if is_secret else None, headers)
    whole = Asked(project.id, asked, service.clock_ms(), runtime)
    return _Question(service, snapshot, whole, is_secret, digest)


def _asking(projects: Projects, request: web.Request) -> tuple[Project, bool]:
    """Read whose flags are asked for, and whether with a secret key."""
    key = request.headers.get(_X_API_KEY) or bearer(request)
    if (project := projects.by_token(key)) is not None:
        return project, False
    if (project := projects.by_secret_key(key)) is not None:
        return project, True
    raise UnauthenticatedError("The project token or secret key is unknown.")


def _read(raw: bytes, content_encoding: str | None, limits: Limits) -> tuple[FlagsRequest, bytes]:
    digest = blake2b(raw, digest_size=ofrep_items.DIGEST_BYTES).digest()
    raw = unwrap_body(raw, query={}, content_encoding=content_encoding, max_bytes=limits.body_bytes)
    return read_ofrep_request(raw, limits.json_depth), digest


# Most clients say the very same again whenever they ask for the same user.
_read_again = lru_cache(maxsize=2048)(_read)


def _response(request: web.Request, body: bytes, status: int = 200) -> web.Response:
    headers = _headers(request.headers.get(hdrs.ORIGIN))
    return web.Response(body=body, status=status, headers=headers)


@lru_cache(maxsize=256)
def _headers(origin: str | None) -> CIMultiDict[str]:
    """Read the headers of an answer, whose ``ETag`` pages have to see."""
    headers = json_headers(origin).copy()
    if origin is not None:
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = f"{hdrs.RETRY_AFTER}, {hdrs.ETAG}"
    return headers


_PATH = "/ofrep/v1/evaluate/flags"
routes = (
    *client_route(["POST"], _PATH, every),
    *client_route(["POST"], f"{_PATH}/{{key}}", one),
)
