"""``/flags`` and ``/decide``: which flags a user gets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qsl

import orjson
from aiohttp import hdrs, web
from msgspec import UNSET, Meta, UnsetType, defstruct, structs
from multidict import istr
from uuid_utils import UUID, uuid7

from flagstream.errors import BodyTooLargeError, InvalidRequestError, OverloadedError, quote
from flagstream.flags import Evaluation
from flagstream.openapi import Access, Answer, AnyOf, Parameter, described
from flagstream.ports import IngestionWarning, ProjectSnapshot
from flagstream.warning_kinds import WarningKind
from flagstream.wire import FlagsRequest, read_flags_request, request_runtime, unwrap_body

from . import keys
from .auth import known_project
from .bodies import decoded, read_rest
from .flag_answers import Asked, FlagAnswers, FlagService, Limits
from .position import POSITION, STALE
from .remote_config import CONFIG_FIELDS, DECIDE_MEMBERS
from .responses import Handler, client_route, json_headers, route
from .shapes import flags as shapes

_ERRORS = (b'"errorsWhileComputingFlags":false', b'"errorsWhileComputingFlags":true')
_NO_FLAGS = (b'"flags":{}', _ERRORS[False])
_OVER_QUOTA = IngestionWarning(
    WarningKind.FLAGS_QUOTA_LIMITED, "is_quota_limited", "a project within its quota", "true"
)
_QUOTA_LIMITED = b'"quotaLimited":["feature_flags"]'
_X_REQUEST_ID = istr("X-Request-Id")
SMALL_BYTES = 2048  # up to which a body is remembered as it was read
_SMALL_UNWRAPPED_BYTES = 4096  # what is in it takes far more memory than itself
_TRUE = {"", "1", "true", "yes", "on"}
_SURVEYS = "only_evaluate_survey_feature_flags"
_SURVEY_PREFIX = "survey-targeting-"
_CONFIG = [(name, kind | UnsetType, UNSET) for name, kind in CONFIG_FIELDS]
_ANSWERS, _OLD_ANSWERS = (
    defstruct(
        each.__name__, _CONFIG, bases=(each,), kw_only=True, namespace={"__doc__": each.__doc__}
    )
    for each in (shapes.FlagAnswers, shapes.OldFlagAnswers)
)
_PARAMETERS = (
    Parameter(
        name="v",
        shape=Annotated[int, Meta(ge=1, le=99)],
        text="The version of the answer's shape.",
    ),
    Parameter(name="config", shape=str, text="`true` for the configuration as well."),
    Parameter(name=_SURVEYS, shape=str, text="`true` for the flags of surveys alone."),
    Parameter(
        name=str(POSITION),
        shape=Annotated[str, Meta(pattern=r"^[a-z-]+\.\d{1,4}\.\d{1,15}(,.+)?$")],
        text="As an answer to events said it; waited for.",
        place="header",
    ),
    Parameter(
        name=str(_X_REQUEST_ID), shape=str, text="A UUID, which is answered again.", place="header"
    ),
)
_Members = list[bytes]
"""Of an answer's object, encoded; those of an object within it may stand one by one. Made anew."""
_OlderShape = Callable[[Sequence[Evaluation]], _Members]


class _Query(NamedTuple):
    """
    What the query of a flag request says.

    Attributes:
        older: Writes the flags as the version asked for has them; None is version 2.
        is_for_surveys: Only the flags are wanted that say who is shown a survey.
    """

    has_config: bool
    older: _OlderShape | None
    is_for_surveys: bool


@described(Answer(_ANSWERS), access=Access.NOTHING)
async def probe(request: web.Request) -> web.Response:
    """Answer a request without a body: no flags, and the configuration."""
    now_ms = request.app[keys.CLOCK_MS]()
    return _envelope(request.headers, [*_NO_FLAGS], now_ms, has_config=True)


def _handler(read_query: Callable[[str], _Query]) -> Handler:
    @described(
        Answer(
            AnyOf(_ANSWERS, _OLD_ANSWERS),
            headers={str(STALE): "How many milliseconds were waited in vain."},
        ),
        access=Access.PUBLIC_TOKEN,
        parameters=_PARAMETERS,
        body=shapes.ASKED,
        refusals=[OverloadedError],
    )
    async def answer(request: web.Request) -> web.Response:
        """Answer a user's flags."""
        text = request.raw_path.partition("?")[2]
        query = read_query(text)
        service, headers = request.app[keys.FLAGS], request.headers
        asked = await _read(request, text, service.limits)
        project = known_project(service.projects, asked.token)
        wanted = headers.get(POSITION)
        stale_ms = None if wanted is None else await service.catch_up.to(wanted)
        now_ms = service.clock_ms()
        snapshot = service.catalog.project(project.id)
        service.rate.take(project.id, snapshot.settings.max_flag_requests_per_s)
        if snapshot.settings.is_quota_limited:
            members = _quota_limited(query, service, project.id)
        else:
            has_runtimes, named = snapshot.flags.has_runtimes, asked.evaluation_runtime
            runtime = request_runtime(named, headers) if has_runtimes else None
            if query.is_for_surveys:
                asked = _for_surveys(asked, snapshot.flags.keys)
            whole = Asked(project.id, asked, now_ms, runtime)
            if asked.anon_distinct_id is not None:
                await _remember(service, snapshot, whole)
            members = _flags(query, service.answers, whole)
        response = _envelope(headers, members, now_ms, has_config=query.has_config)
        if stale_ms is not None:
            response.headers[STALE] = str(stale_ms)
        return response

    return answer


# Most clients say the very same again whenever they ask for the same user.
@lru_cache(maxsize=2048)
def _read_again(
    raw: bytes, query: str, content_encoding: str | None, json_depth: int
) -> FlagsRequest | None:
    """Read a small body; None where there is much in it."""
    parameters = _parameters(query)
    try:
        raw = unwrap_body(
            raw,
            query=parameters,
            content_encoding=content_encoding,
            max_bytes=_SMALL_UNWRAPPED_BYTES,
        )
    except BodyTooLargeError:
        return None
    return read_flags_request(raw, parameters, json_depth)


async def _read(request: web.Request, query: str, limits: Limits) -> FlagsRequest:
    raw = await request.content.readany()
    if not request.content.at_eof():
        raw = await read_rest(request, raw, limits.body_bytes)
    if len(raw) + len(query) <= SMALL_BYTES:
        content_encoding = request.headers.get(hdrs.CONTENT_ENCODING)
        known = _read_again(raw, query, content_encoding, limits.json_depth)
        if known is not None:
            return known
    parameters = _parameters(query)

    def parse(unwrapped: bytes) -> FlagsRequest:
        return read_flags_request(unwrapped, parameters, limits.json_depth)

    return await decoded(request, raw, parse, max_bytes=limits.body_bytes, query=parameters)


def _for_surveys(request: FlagsRequest, keys: Iterable[str]) -> FlagsRequest:
    """Limit a request to the flags of surveys."""
    named = keys if request.flag_keys is None else request.flag_keys
    ours = [key for key in named if key.startswith(_SURVEY_PREFIX)]
    return structs.replace(request, flag_keys=ours)


async def _remember(service: FlagService, snapshot: ProjectSnapshot, asked: Asked) -> None:
    """Let a person that was just identified stay on its side; nothing is answered before."""
    request, sticky = asked.request, FlagAnswers.visible(snapshot, asked).sticky_keys
    anon_distinct_id = request.anon_distinct_id
    if sticky and anon_distinct_id is not None and not request.disable_flags:
        person = (asked.project_id, request.distinct_id, anon_distinct_id, sticky)
        if service.continuity.lacks(*person):
            await service.continuity.remember(*person)


def _envelope(
    headers: Mapping[str, str], members: _Members, now_ms: int, *, has_config: bool
) -> web.Response:
    """Join everything at once: with hundreds of flags, each copy on the way shows."""
    config = b"," + DECIDE_MEMBERS if has_config else b""
    request_id = _request_id(headers.get(_X_REQUEST_ID))
    members.append(b'"requestId":"%b","evaluatedAt":%d%b}' % (request_id, now_ms, config))
    members[0] = b"{" + members[0]
    body = b",".join(members)
    return web.Response(body=body, headers=json_headers(headers.get(hdrs.ORIGIN)))


def _request_id(wanted: str | None) -> bytes:
    if wanted is not None:
        try:
            return str(UUID(wanted)).encode()
        except ValueError:
            pass
    return str(uuid7()).encode()


@lru_cache(maxsize=1024)
def _flags_query(text: str) -> _Query:
    parameters = _parameters(text)
    version = _version(parameters)
    # Neither named is a modern client's shorthand; with `config` alone it is an old client.
    is_bare = version is None and "config" not in parameters
    older = None if is_bare or (version or 1) > 1 else _legacy
    has_config = is_bare or _is_true(parameters, "config")
    return _Query(has_config, older, _is_true(parameters, _SURVEYS))


@lru_cache(maxsize=1024)
def _decide_query(text: str) -> _Query:
    parameters = _parameters(text)
    version = _version(parameters) or 1
    older = {1: _enabled_keys, 2: _enabled, 3: _legacy}.get(version)
    return _Query(True, older, _is_true(parameters, _SURVEYS))  # noqa: FBT003 -- named by the type


def _parameters(text: str) -> dict[str, str]:
    """Read the query; the first of a repeated parameter counts."""
    return dict(reversed(parse_qsl(text, keep_blank_values=True)))


def _is_true(parameters: Mapping[str, str], name: str) -> bool:
    return name in parameters and parameters[name].lower() in _TRUE


def _version(parameters: Mapping[str, str]) -> int | None:
    text = parameters.get("v") or parameters.get("version")
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or not 1 <= len(text) <= 2 or int(text) < 1:  # noqa: PLR2004
        raise InvalidRequestError(f"v: expected a version from 1 on, got {quote(text)}", attr="v")
    return int(text)


def _no_flags(query: _Query) -> _Members:
    return [*_NO_FLAGS] if query.older is None else query.older(())


def _quota_limited(query: _Query, service: FlagService, project_id: int) -> _Members:
    service.warnings.add(project_id, _OVER_QUOTA)
    return [*_no_flags(query), _QUOTA_LIMITED]


def _flags(query: _Query, answers: FlagAnswers, asked: Asked) -> _Members:
    return _v2(answers, asked) if query.older is None else query.older(answers.evaluate(asked))


def _v2(answers: FlagAnswers, asked: Asked) -> _Members:
    flags, has_failed = answers.v2(asked)
    if not flags:
        return [*_NO_FLAGS]
    members = [*flags]
    members[0] = b'"flags":{' + members[0]
    members[-1] += b"}"
    members.append(_ERRORS[has_failed])
    return members


def _legacy(evaluations: Sequence[Evaluation]) -> _Members:
    payloads = {each.key: each.payload for each in evaluations if each.payload is not None}
    return _older({each.key: each.value for each in evaluations}, evaluations, payloads)


def _enabled(evaluations: Sequence[Evaluation]) -> _Members:
    return _older({each.key: each.value for each in evaluations if each.enabled}, evaluations)


def _enabled_keys(evaluations: Sequence[Evaluation]) -> _Members:
    return _older([each.key for each in evaluations if each.enabled], evaluations)


def _older(
    flags: Mapping[str, str | bool] | Sequence[str],
    evaluations: Sequence[Evaluation],
    payloads: Mapping[str, str] | None = None,
) -> _Members:
    members: dict[str, Any] = {"featureFlags": flags}
    if payloads is not None:
        members["featureFlagPayloads"] = payloads
    has_failed = any(each.failed for each in evaluations)
    return [orjson.dumps(members)[1:-1], _ERRORS[has_failed]]


routes = tuple(
    definition
    for path, handler in (("/flags", _handler(_flags_query)), ("/decide", _handler(_decide_query)))
    for definition in (
        *client_route(["POST"], path, handler),
        *route("GET", path, probe),
    )
)
