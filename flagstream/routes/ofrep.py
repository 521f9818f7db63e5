"""OpenFeature's remote evaluation protocol (OFREP): one flag for servers, all of them for pages."""

import asyncio
from collections.abc import Sequence
from functools import lru_cache, wraps
from hashlib import blake2b
from time import monotonic
from typing import Any, NamedTuple

import orjson
from aiohttp import hdrs, web
from multidict import CIMultiDict, istr

from flagstream.errors import (
    BodyTooLargeError,
    InvalidRequestError,
    NotFoundError,
    QuotaExceededError,
    RequestError,
)
from flagstream.openapi import Access, Answer, Parameter, described
from flagstream.ports import Project, Projects, ProjectSnapshot
from flagstream.state.access import Scope
from flagstream.wire import (
    INVALID_CONTEXT,
    TARGETING_KEY_MISSING,
    FlagsRequest,
    read_ofrep_request,
    request_runtime,
    unwrap_body,
)

from . import keys, ofrep_items
from .auth import asking, bearer
from .bodies import decoded, read_body
from .errors import refusing
from .flag_answers import Asked, FlagService, Limits
from .flags import OVER_QUOTA, SMALL_BYTES, SMALL_UNWRAPPED_BYTES
from .position import POSITION
from .ready_answers import Answer as Part
from .responses import Handler, client_route, is_known, json_headers
from .shapes import ofrep as shapes
from .tallies import EVALUATIONS

_X_API_KEY = istr("X-API-Key")
_FLAG_NOT_FOUND = "flag_not_found"
_TOLD = "flagConfigEtag"
# Longer than a change takes from one process or node to the next.
_BEHIND_S, _LOOK_S = 1.0, 0.01
# How long a page that nobody looks at keeps its stream; the protocol's default.
_INACTIVITY_DELAY_S = 120
STREAM_PATH = "/ofrep/v1/stream"
_CODES = {code: code.upper() for code in (INVALID_CONTEXT, TARGETING_KEY_MISSING, _FLAG_NOT_FOUND)}


class _Question(NamedTuple):
    """
    What is asked, and by whom.

    Attributes:
        is_secret: With a secret key.
        body: Without what it was wrapped in.
    """

    service: FlagService
    snapshot: ProjectSnapshot
    asked: Asked
    is_secret: bool
    body: bytes


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
    return refusing(_response(request, orjson.dumps(failure), error.status), error)


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
    parameters=[
        Parameter(name=_TOLD, shape=str, text="The tag that a stream has told of."),
    ],
    body=shapes.ASKED,
)
@_refusing
async def every(request: web.Request) -> web.Response:
    """
    Answer all flags, as pages ask for them.

    ``ETag`` is of the request and of all that it is answered from.
    """
    question = await _question(request)
    service, asked = question.service, question.asked
    address = service.channels.write(asked.project_id, question.body, asked.runtime, asked.now_ms)
    seed = blake2b(question.body).hexdigest() if address is None else address
    parts = service.answers.ofrep(asked)
    etag = ofrep_items.etag(seed, parts)
    known = is_known(request, etag)
    if known and _was_told_of_another(request, etag):
        # By another process, of what this one is about to learn.
        parts, etag = await _next(service, asked, seed, etag)
        known = is_known(request, etag)
    if known:
        response = web.Response(status=304, headers=_headers(request.headers.get(hdrs.ORIGIN)))
    else:
        for part in parts:
            EVALUATIONS.given(part.tally)
        members = b",".join([member for part in parts for member in part.members])
        stream = b"" if address is None else _stream(service.public_url, address, etag)
        response = _response(request, b'{"flags":[%b]%b}' % (members, stream))
    response.headers[hdrs.ETAG] = f'"{etag}"'
    return response


def _was_told_of_another(request: web.Request, etag: str) -> bool:
    told = request.query.get(_TOLD)
    return told is not None and told != etag


async def _next(
    service: FlagService, asked: Asked, seed: str, etag: str
) -> tuple[Sequence[Part], str]:
    """Wait for an answer with another tag, for a moment."""
    # Ever longer: anybody may say that they were told of something.
    pause_s, deadline_s = _LOOK_S, monotonic() + _BEHIND_S
    while True:
        parts = service.answers.ofrep(asked)
        now = ofrep_items.etag(seed, parts)
        if now != etag or monotonic() > deadline_s:
            return parts, now
        await asyncio.sleep(pause_s)
        pause_s *= 2


def _stream(public_url: str, address: str, etag: str) -> bytes:
    """Encode where a page is told of changes, behind the flags of a bulk answer."""
    uri = f"{STREAM_PATH}?channel={address}&etag={etag}"
    where: dict[str, Any] = {"endpoint": {"requestUri": uri}}
    if public_url:
        where = {"url": public_url + uri}
    stream = {"type": "sse", **where, "inactivityDelaySec": _INACTIVITY_DELAY_S}
    return b',"eventStreams":[%b]' % orjson.dumps(stream)


async def _question(request: web.Request) -> _Question:
    service, headers = request.app[keys.FLAGS], request.headers
    project, is_secret = await _asking(request, service.projects)
    asked, body = await _read(request, service.limits)
    if (wanted := headers.get(POSITION)) is not None:
        await service.catch_up.to(wanted)
    snapshot = admitted(service, project.id)
    runtime = request_runtime("server" if is_secret else None, headers)
    whole = Asked(project.id, asked, service.clock_ms(), runtime)
    return _Question(service, snapshot, whole, is_secret, body)


def admitted(service: FlagService, project_id: int) -> ProjectSnapshot:
    """
    Count a question about all flags of a project.

    Raises:
        RateLimitError: It has used up its rate.
        QuotaExceededError: It is over its quota.
    """
    snapshot = service.catalog.project(project_id)
    service.rate.take(project_id, snapshot.settings.max_flag_requests_per_s)
    if snapshot.settings.is_quota_limited:
        service.warnings.add(project_id, OVER_QUOTA)
        raise QuotaExceededError("The project is over its quota.")
    return snapshot


async def _asking(request: web.Request, projects: Projects) -> tuple[Project, bool]:
    """Read whose flags are asked for, and whether with a secret key."""
    key = request.headers.get(_X_API_KEY) or bearer(request)
    if (project := projects.by_token(key)) is not None:
        return project, False
    caller, project = await asking(request, key, Scope.FLAGS_READ)
    if caller.key is not None:
        request.app[keys.SECRET_KEYS].note_use(caller.key)
    return project, True


# Most clients say the very same again whenever they ask for the same user.
@lru_cache(maxsize=2048)
def _read_again(
    raw: bytes, content_encoding: str | None, json_depth: int
) -> tuple[FlagsRequest, bytes] | None:
    """Read a small body, and unwrap it; None where there is much in it."""
    try:
        body = unwrap_body(
            raw, query={}, content_encoding=content_encoding, max_bytes=SMALL_UNWRAPPED_BYTES
        )
    except BodyTooLargeError:
        return None
    return read_ofrep_request(body, json_depth), body


async def _read(request: web.Request, limits: Limits) -> tuple[FlagsRequest, bytes]:
    raw = await read_body(request, limits.body_bytes)
    if len(raw) <= SMALL_BYTES:
        content_encoding = request.headers.get(hdrs.CONTENT_ENCODING)
        known = _read_again(raw, content_encoding, limits.json_depth)
        if known is not None:
            return known

    def parse(body: bytes) -> tuple[FlagsRequest, bytes]:
        return read_ofrep_request(body, limits.json_depth), body

    return await decoded(request, raw, parse, max_bytes=limits.body_bytes)


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
