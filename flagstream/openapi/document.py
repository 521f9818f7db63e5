"""The OpenAPI document: sections of operations, and what they say of themselves."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import orjson

import flagstream

from .descriptions import Parameter
from .operations import Operations
from .places import Section, places
from .refusals import Refusals
from .schemas import Schema

_TEXT = """\
Flags per organization, answered from the event stream. The wire contract is PostHog's: its clients
run unmodified.

Every path is served with and without a slash at its end, and `/api/environments/{project}` is
another spelling of `/api/projects/{project}`. GET also answers HEAD; what browsers ask also answers
their preflight (OPTIONS). Any other method is refused with 405 and `Allow`, any other path with
404; every refusal is a `Refusal`."""
_SCHEMES: Mapping[str, Schema] = {
    "secretKey": {
        "type": "http",
        "scheme": "bearer",
        "description": (
            "A secret key of the project (`phs_…`), with the scope that the operation names; or "
            "the operator's, which opens every project."
        ),
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
        return orjson.dumps(self._document())

    @cached_property
    def etag(self) -> str:
        """Of the bytes."""
        return hashlib.sha256(self.encoded).hexdigest()[:32]

    def _document(self) -> Schema:
        found = list(places(self.sections, self.other_roots))
        operations, refusals = Operations(found, self.parameters), Refusals()
        paths: dict[str, Schema] = {}
        for place in found:
            refused = refusals.of(place, waits=place.path not in self.always)
            written = operations.written(place, refused)
            paths.setdefault(place.path, {})[place.method.lower()] = written
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "flagstream",
                "version": flagstream.__version__,
                "description": _TEXT,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": each.name, "description": each.text} for each in self.sections],
            "paths": paths,
            "components": {
                "schemas": operations.schemas.components,
                "responses": refusals.components,
                "securitySchemes": _SCHEMES,
            },
        }
