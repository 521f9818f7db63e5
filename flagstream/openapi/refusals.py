"""How operations refuse, as follows from what they say of themselves."""

from collections.abc import Iterator
from http import HTTPStatus

from msgspec import Struct

from flagstream.errors import (
    BodyTooLargeError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    RequestError,
    SlowRequestError,
    UnauthenticatedError,
    UnavailableError,
)

from .descriptions import JSON, Access, markdown, needs_key
from .places import Place
from .schemas import Schema

_WITH_RETRY_AFTER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class Refusal(Struct):
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


class Refusals:
    """
    Writes refusals, each once.

    Attributes:
        components: Those that were written, by their names.
    """

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def of(self, place: Place, *, waits: bool) -> dict[str, Schema]:
        """
        Name the refusals of an operation, by their statuses.

        Args:
            waits: It is refused until the server is ready.
        """
        statuses: dict[str, Schema] = {}
        for refusal in _refusing(place, waits=waits):
            statuses.setdefault(str(int(refusal.status)), self._named(refusal))
        return statuses

    def _named(self, refusal: type[RequestError]) -> Schema:
        name = refusal.__name__.removesuffix("Error")
        if name not in self.components:
            self.components[name] = _written(refusal)
        return {"$ref": f"#/components/responses/{name}"}


def _refusing(place: Place, *, waits: bool) -> Iterator[type[RequestError]]:
    said = place.said
    yield from said.refusals
    if said.access is not Access.NOTHING:
        yield UnauthenticatedError
    if needs_key(said.access):
        yield from (ForbiddenError, OverloadedError)
        if "{project}" in place.path:
            yield NotFoundError
    if said.body is not None:
        yield from (InvalidRequestError, BodyTooLargeError, SlowRequestError)
    if any(each.shape is not str and each.place != "path" for each in said.parameters):
        yield InvalidRequestError
    if waits:
        yield UnavailableError


def _written(refusal: type[RequestError]) -> Schema:
    schema = {
        "$ref": f"#/components/schemas/{Refusal.__name__}",
        "properties": {"type": {"const": refusal.type}},
    }
    example = {"type": refusal.type, "code": refusal.code, "detail": "…", "attr": None}
    written: Schema = {
        "description": markdown(refusal.__doc__ or ""),
        "content": {JSON: {"schema": schema, "example": example}},
    }
    if refusal.status in _WITH_RETRY_AFTER:
        written["headers"] = {
            "Retry-After": {
                "description": "Whole seconds, after which to come back.",
                "schema": {"type": "string"},
            }
        }
    return written
