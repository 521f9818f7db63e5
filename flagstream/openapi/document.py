"""The OpenAPI document: sections of routes, and what their handlers say of themselves."""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
import orjson
from aiohttp import web

import flagstream
from flagstream.errors import (
    BodyTooLargeError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    RequestError,
    UnauthenticatedError,
    UnavailableError,
)

from .descriptions import JSON, Access, Answer, Body, Operation, Parameter, markdown, operation_of
from .schemas import Schema, Schemas

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_WITH_BODIES = ("POST", "PUT", "PATCH")
_PARAMETER = re.compile(r"\{(\w+)\}")
_RETRY_AFTER = "Whole seconds, after which to come back."
_TEXT = """\
Flags per organization, answered from the event stream. The wire contract is PostHog's: its clients
run unmodified.

Every path is served with and without a slash at its end, and `/api/environments/{project}` is
another spelling of `/api/projects/{project}`. GET also answers HEAD; what browsers ask also answers
their preflight (OPTIONS). Any other method is refused with 405 and `Allow`, any other path with
404; every refusal is a `Refusal`."""
_SECURITY: Mapping[Access, Sequence[Mapping[str, Sequence[str]]]] = {
    Access.NOTHING: [],
    # The body is no place that a scheme could name.
    Access.PUBLIC_TOKEN: [{"publicToken": []}, {}],
    Access.BEARER_TOKEN: [{"bearerToken": []}],
    Access.SECRET_KEY: [{"secretKey": []}],
}
_SCHEMES: Mapping[str, Schema] = {
    "secretKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "The project's secret key: reads and changes everything of its project.",
    },
    "publicToken": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": (
            "The project's public token (`phc_…`), which most clients send in the body, as `token` "
            "or `api_key`."
        ),
    },
    "bearerToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The project's public token.",
    },
}


class Refusal(msgspec.Struct):
    """
    What every refusal says.

    Attributes:
        code: For programs; never reworded.
        detail: For people: what was expected, and what came.
        attr: The member that is wrong, dotted.
    """

    type: str
    code: str
    detail: str
    attr: str | None


class Section(NamedTuple):
    """Operations that belong together."""

    name: str
    text: str
    routes: Sequence[web.RouteDef]


@dataclass(frozen=True, kw_only=True)
class ApiDocument:
    """
    The document of all operations; made when it is asked for first.

    Attributes:
        other_roots: Whose paths are other spellings, and left out.
        parameters: In paths, where handlers say nothing else.
        always: Paths that never answer that the server is still starting.
    """

    sections: Sequence[Section]
    other_roots: Sequence[str]
    parameters: Mapping[str, Parameter]
    always: Collection[str]

    @cached_property
    def encoded(self) -> bytes:
        """As JSON."""
        return orjson.dumps(_Writer(self).document())

    @cached_property
    def etag(self) -> str:
        """Of the bytes."""
        return hashlib.sha256(self.encoded).hexdigest()[:32]


class _Place(NamedTuple):
    """An operation where it is served."""

    section: Section
    method: str
    path: str
    said: Operation


class _Writer:
    """Writes the document."""

    def __init__(self, api: ApiDocument) -> None:
        self._api = api
        self._places = [*_places(api)]
        self._schemas = Schemas(self._shapes())
        self._refusals: dict[str, Schema] = {}

    def document(self) -> Schema:
        """Write all of it."""
        paths: dict[str, Schema] = {}
        for place in self._places:
            paths.setdefault(place.path, {})[place.method.lower()] = self._operation(place)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "flagstream",
                "version": flagstream.__version__,
                "description": _TEXT,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": each.name, "description": each.text} for each in self._api.sections],
            "paths": paths,
            "components": {
                "schemas": self._schemas.components,
                "responses": self._refusals,
                "securitySchemes": _SCHEMES,
            },
        }

    def _shapes(self) -> Iterator[Any]:
        yield Refusal
        for place in self._places:
            yield from (each.shape for each in self._parameters(place))
            yield from (each.shape for each in place.said.answers if each.shape is not None)
            if place.said.body is not None:
                yield from _contents(place.said.body).values()

    def _parameters(self, place: _Place) -> Sequence[Parameter]:
        own = {(each.place, each.name): each for each in place.said.parameters}
        in_path = (
            own.pop(("path", name), self._api.parameters[name])
            for name in _PARAMETER.findall(place.path)
        )
        return [*in_path, *own.values()]

    def _operation(self, place: _Place) -> Schema:
        said = place.said
        answers = {str(each.status): self._answer(each) for each in said.answers}
        for refusal in self._refusing(place):
            answers.setdefault(str(refusal.status), self._refusal(refusal))
        operation: Schema = {
            "operationId": _operation_id(place),
            "tags": [place.section.name],
            "summary": said.summary,
            "security": _SECURITY[said.access],
            "parameters": [self._parameter(each) for each in self._parameters(place)],
            "responses": dict(sorted(answers.items())),
        }
        if said.text:
            operation["description"] = said.text
        if said.body is not None and place.method in _WITH_BODIES:
            operation["requestBody"] = {"required": True, "content": self._content(said.body)}
        return operation

    def _content(self, body: Body) -> Schema:
        content = {
            media: {"schema": self._schemas.of(shape)} for media, shape in _contents(body).items()
        }
        content[body.media] |= _example(body.example)
        return content

    def _parameter(self, parameter: Parameter) -> Schema:
        return {
            "name": parameter.name,
            "in": parameter.place,
            "required": parameter.is_required or parameter.place == "path",
            "description": parameter.text,
            "schema": self._schemas.of(parameter.shape),
            **_example(parameter.example),
        }

    def _answer(self, answer: Answer) -> Schema:
        written: Schema = {"description": answer.text or HTTPStatus(answer.status).phrase}
        if answer.shape is not None:
            written["content"] = {answer.media: {"schema": self._schemas.of(answer.shape)}}
        if answer.headers:
            written["headers"] = {name: _header(text) for name, text in answer.headers.items()}
        return written

    def _refusing(self, place: _Place) -> Iterator[type[RequestError]]:
        """Tell how it refuses: as its handler says, and as follows from what it takes."""
        said = place.said
        yield from said.refusals
        if said.access is not Access.NOTHING:
            yield UnauthenticatedError
        if said.access is Access.SECRET_KEY:
            yield ForbiddenError
            if "{project}" in place.path:
                yield NotFoundError
        if said.body is not None:
            yield from (InvalidRequestError, BodyTooLargeError)
        if any(each.shape is not str and each.place != "path" for each in said.parameters):
            yield InvalidRequestError
        if place.path not in self._api.always:
            yield UnavailableError

    def _refusal(self, refusal: type[RequestError]) -> Schema:
        name = refusal.__name__.removesuffix("Error")
        if name not in self._refusals:
            schema = {
                "$ref": "#/components/schemas/Refusal",
                "properties": {"type": {"const": refusal.type}},
            }
            example = {"type": refusal.type, "code": refusal.code, "detail": "…", "attr": None}
            written: Schema = {
                "description": markdown(refusal.__doc__ or ""),
                "content": {JSON: {"schema": schema, **_example(example)}},
            }
            if refusal.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
                written["headers"] = {"Retry-After": _header(_RETRY_AFTER)}
            self._refusals[name] = written
        return {"$ref": f"#/components/responses/{name}"}


def _places(api: ApiDocument) -> Iterator[_Place]:
    """List each operation once: paths that end with a slash are the same."""
    known: set[tuple[str, str]] = set()
    for section in api.sections:
        for route in section.routes:
            path = route.path.rstrip("/") or "/"
            is_other = path.startswith(tuple(api.other_roots))
            if route.method in _METHODS and not is_other and (route.method, path) not in known:
                known.add((route.method, path))
                yield _Place(section, route.method, path, operation_of(route.handler))


def _operation_id(place: _Place) -> str:
    words = re.findall(r"\w+", place.path.removeprefix("/api/projects/{project}/"))
    return "_".join([place.method.lower(), *words])


def _contents(body: Body) -> Mapping[str, Any]:
    return {body.media: body.shape, **body.others}


def _example(example: Any) -> Schema:
    return {} if example is None else {"example": example}


def _header(text: str) -> Schema:
    return {"description": text, "schema": {"type": "string"}}
