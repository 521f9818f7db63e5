"""Answers, held against the OpenAPI document."""

import copy
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from aiohttp import hdrs, web
from jsonschema import Draft202012Validator, FormatChecker

from flagstream.routes import keys
from flagstream.routes.shapes.management import UnreadableFlag
from flagstream.routes.table import add_routes

OTHER_ROOT = "/api/environments"
ROOT = "/api/projects"
_NAME = re.compile(r'"#/components/schemas/(\w+)"')
# Served everywhere.
_LEFT_OUT = {hdrs.METH_HEAD, hdrs.METH_OPTIONS, hdrs.METH_ANY}


def served(*, other_root: bool = False) -> dict[str, set[str]]:
    """The methods by path, as an application serves them; without those that all paths have."""
    app = web.Application()
    add_routes(app, lambda: True)
    found = defaultdict(set)
    for route in app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical
        if route.method not in _LEFT_OUT and path.startswith(OTHER_ROOT) is other_root:
            found[path.rstrip("/") or "/"].add(route.method)
    return dict(found)


@cache
def document() -> dict[str, Any]:
    """The document that the application serves."""
    app = web.Application()
    add_routes(app, lambda: True)
    read: dict[str, Any] = json.loads(app[keys.API_DOCUMENT].encoded)
    return read


def closed(open_document: Mapping[str, Any]) -> dict[str, Any]:
    """
    Take every object of answers for complete: a member that it does not name is an error.

    Clients must bear new members, so the document itself does not say so. What is also sent is left
    open, and so are definitions, which are answered as they were sent.
    """
    strict = copy.deepcopy(dict(open_document))
    schemas = strict["components"]["schemas"]
    for name in schemas.keys() - _sent(strict) - {UnreadableFlag.__name__}:
        if "properties" in schemas[name]:
            schemas[name].setdefault("additionalProperties", False)
    return strict


def only_sent(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The schemas of what is sent and never answered, by their names."""
    answers = [operation["responses"] for operation in _operations(whole)]
    names = _sent(whole) - _named(answers, whole)
    return {name: whole["components"]["schemas"][name] for name in names}


def _sent(whole: Mapping[str, Any]) -> set[str]:
    return _named([each.get("requestBody") for each in _operations(whole)], whole)


def _operations(whole: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for operations in whole["paths"].values() for each in operations.values()]


def _named(part: Any, whole: Mapping[str, Any]) -> set[str]:
    """The schemas that a part of the document names, directly or through others."""
    found: set[str] = set()
    pending = set(_NAME.findall(json.dumps(part)))
    while pending:
        found |= pending
        schemas = [whole["components"]["schemas"][name] for name in pending]
        pending = set(_NAME.findall(json.dumps(schemas))) - found
    return found


class Answered(NamedTuple):
    """
    An answer.

    Attributes:
        path: As the document has it.
        content: None where it is not looked at.
    """

    method: str
    path: str
    status: int
    media: str
    content: bytes | None


def answered(request: web.Request, response: web.StreamResponse) -> Answered:
    """Take an answer of the application as it is given."""
    resource = request.match_info.route.resource
    path = "" if resource is None else resource.canonical
    if path.startswith(OTHER_ROOT):
        path = ROOT + path.removeprefix(OTHER_ROOT)
    is_whole = isinstance(response, web.Response) and request.method != hdrs.METH_HEAD
    return Answered(
        method=hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method,
        path=path.rstrip("/") or "/",
        status=response.status,
        media=response.content_type,
        content=response.body if is_whole else None,
    )


def problems(answer: Answered) -> list[str]:
    """Say what the document does not say of an answer."""
    operation = document()["paths"].get(answer.path, {}).get(answer.method.lower())
    if operation is None:
        # What no operation is at is refused, and a preflight carries nothing.
        is_fine = answer.status in (404, 405, 503) or answer.method == hdrs.METH_OPTIONS
        return [] if is_fine else [f"{answer}: no such operation"]
    said = operation["responses"].get(str(answer.status))
    if said is None:
        return [f"{answer}: no such status"]
    if "$ref" in said:
        said = document()["components"]["responses"][said["$ref"].rpartition("/")[2]]
    contents = said.get("content", {})
    if not contents:
        return [f"{answer}: expected nothing"] if answer.content else []
    if answer.media not in contents:
        return [f"{answer}: expected one of {list(contents)}"]
    if answer.content is None:
        return []
    errors_in = validator(contents[answer.media]["schema"]).iter_errors
    return [
        f"{answer.method} {answer.path} {answer.status} {error.json_path}: {error.message}"
        for value in _values(answer.media, answer.content)
        for error in errors_in(value)
    ]


def _values(media: str, content: bytes) -> list[Any]:
    """Read what a schema is of: all, or each line."""
    if media == "application/x-ndjson":
        return [json.loads(line) for line in content.splitlines()]
    return [json.loads(content) if media == "application/json" else content.decode()]


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """What a part of the document says of values."""
    whole = {**schema, "components": _strict_components()}
    return Draft202012Validator(whole, format_checker=FormatChecker())


@cache
def _strict_components() -> dict[str, Any]:
    components: dict[str, Any] = closed(document())["components"]
    return components
