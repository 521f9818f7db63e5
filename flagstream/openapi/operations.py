"""Operations, as an OpenAPI document has them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flagstream.state.access import Scope

from .descriptions import Access, Answer, Body, Operation, Parameter
from .places import Place
from .refusals import Refusal
from .schemas import Schema, Schemas

_WITH_BODIES = ("POST", "PUT", "PATCH")
_PARAMETER = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"\w+")
_MOST = "/api/projects/{project}/"
_SECURITY: Mapping[Any, Sequence[Mapping[str, Sequence[str]]]] = {
    Access.NOTHING: [],
    # The body is no place that a scheme could name.
    Access.PUBLIC_TOKEN: [{"publicToken": []}, {}],
    Access.BEARER_TOKEN: [{"bearerToken": []}],
    Access.SECRET_KEY: [{"secretKey": []}],
}


class Operations:
    """
    Writes operations.

    Attributes:
        schemas: Of all that they take and answer.
    """

    def __init__(self, places: Sequence[Place], in_paths: Mapping[str, Parameter]) -> None:
        """Take the parameters in paths from *in_paths*, where operations say nothing of them."""
        self._in_paths = in_paths
        shapes = [shape for place in places for shape in self._shapes(place)]
        self.schemas = Schemas([Refusal, *shapes])

    def _shapes(self, place: Place) -> Iterator[Any]:
        yield from (each.shape for each in self._parameters(place))
        yield from (each.shape for each in place.said.answers if each.shape is not None)
        if place.said.body is not None:
            yield from _contents(place.said.body).values()

    def written(self, place: Place, refusals: Mapping[str, Schema]) -> Schema:
        """
        Write one.

        Args:
            refusals: By status, where nothing else is answered.
        """
        said = place.said
        answers = {str(each.status): self._answer(each) for each in said.answers}
        operation: Schema = {
            "operationId": _operation_id(place),
            "tags": [place.section.name],
            "summary": said.summary,
            "security": _SECURITY.get(said.access, [{"secretKey": [said.needed]}]),
            "parameters": [self._parameter(each) for each in self._parameters(place)],
            "responses": dict(sorted({**refusals, **answers}.items())),
        }
        if text := "\n\n".join(filter(None, [said.text, _needs(said)])):
            operation["description"] = text
        if said.body is not None and place.method in _WITH_BODIES:
            operation["requestBody"] = {"required": True, "content": self._content(said.body)}
        return operation

    def _parameters(self, place: Place) -> Sequence[Parameter]:
        own = {(each.place, each.name): each for each in place.said.parameters}
        names = _PARAMETER.findall(place.path)
        in_path = [own.pop(("path", name), self._in_paths[name]) for name in names]
        return [*in_path, *own.values()]

    def _parameter(self, parameter: Parameter) -> Schema:
        return {
            "name": parameter.name,
            "in": parameter.place,
            "required": parameter.is_required or parameter.place == "path",
            "description": parameter.text,
            "schema": self.schemas.of(parameter.shape),
            **_example(parameter.example),
        }

    def _content(self, body: Body) -> Schema:
        content = {
            media: {"schema": self.schemas.of(shape)} for media, shape in _contents(body).items()
        }
        content[body.media] |= _example(body.example)
        return content

    def _answer(self, answer: Answer) -> Schema:
        written: Schema = {"description": answer.text or HTTPStatus(answer.status).phrase}
        if answer.shape is not None:
            written["content"] = {answer.media: {"schema": self.schemas.of(answer.shape)}}
        if answer.headers:
            written["headers"] = {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in answer.headers.items()
            }
        return written


def _needs(said: Operation) -> str:
    if said.access is Access.OPERATOR:
        return "Asked with the operator's key."
    return f"Needs a key with the scope `{said.needed}`." if isinstance(said.access, Scope) else ""


def _operation_id(place: Place) -> str:
    """Name it after its address: what clients are generated from must not change its names."""
    return "_".join([place.method.lower(), *_WORD.findall(place.path.removeprefix(_MOST))])


def _contents(body: Body) -> Mapping[str, Any]:
    return {body.media: body.shape, **body.others}


def _example(example: Any) -> Schema:
    return {} if example is None else {"example": example}
