"""JSON schemas of types: structs of msgspec, models of pydantic, and what is in them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .descriptions import markdown

_PLACE = "#/components/schemas/"
_ATTRIBUTES = "\nAttributes:\n"
_ATTRIBUTE = re.compile(r"^ {4}(\S+): (.*(?:\n {8}.*)*)", re.MULTILINE)
Schema = dict[str, Any]


class AnyOf:
    """Several types, any of which it may be; also several structs, which have no common union."""

    def __init__(self, *shapes: Any) -> None:
        self.shapes = shapes


class Schemas:
    """
    Schemas of types.

    Attributes:
        components: Those that have a name, by that.
    """

    def __init__(self, shapes: Iterable[Any]) -> None:
        self._models: dict[str, type[BaseModel]] = {}
        distinct = {id(each): each for shape in shapes for each in _parts(shape)}
        schemas, components = msgspec.json.schema_components(
            distinct.values(), schema_hook=self._of_model, ref_template=f"{_PLACE}{{name}}"
        )
        self._by_id = dict(zip(distinct, schemas, strict=True))
        self.components: Mapping[str, Schema] = {**components, **self._of_models()}
        for schema in self.components.values():
            _explain(schema)
        _type([*schemas, self.components])

    def of(self, shape: Any) -> Schema:
        """Read the schema of one of the types that were given."""
        schemas = [self._by_id[id(part)] for part in _parts(shape)]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def _of_model(self, shape: type) -> Schema:
        if not issubclass(shape, BaseModel):
            raise NotImplementedError
        self._models[shape.__name__] = shape
        return {"$ref": f"{_PLACE}{shape.__name__}"}

    def _of_models(self) -> Mapping[str, Schema]:
        _, schema = models_json_schema(
            [(model, "validation") for model in self._models.values()],
            ref_template=f"{_PLACE}{{model}}",
        )
        found: Mapping[str, Schema] = schema.get("$defs", {})
        return found


def _parts(shape: Any) -> Sequence[Any]:
    return shape.shapes if isinstance(shape, AnyOf) else (shape,)


def _type(part: Any) -> None:
    """Say the type of texts of which there are few: what makes clients of schemas asks for it."""
    if isinstance(part, dict):
        values = part.get("enum")
        if isinstance(values, list) and all(isinstance(each, str) for each in values):
            part.setdefault("type", "string")
    if isinstance(part, dict | list):
        for each in part.values() if isinstance(part, dict) else part:
            _type(each)


def _explain(schema: Schema) -> None:
    """Hand out what a docstring says of attributes to the members that they are."""
    text, _, attributes = markdown(schema.get("description", "")).partition(_ATTRIBUTES)
    if text:
        schema["description"] = text.strip()
    for name, said in _ATTRIBUTE.findall(attributes):
        schema["properties"][name]["description"] = " ".join(said.split())
