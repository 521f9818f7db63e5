"""Answers, held against the description that OpenFeature gives of its protocol (OFREP)."""

import copy
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from aiohttp import hdrs, web
from jsonschema import Draft202012Validator, FormatChecker

_DIRECTORY = Path(__file__).parent / "conformance" / "ofrep"
_UNSAID = (402, 413, 503)
"""Statuses that the protocol says nothing of."""
PATH = "/ofrep/v1/evaluate/flags"


@cache
def protocol() -> dict[str, Any]:
    """
    The description, with what it means by values.

    A flag that leaves its value to the code matches beside every other, and an integer is a number
    as well: taken at its word, that one of them fits is true of no flag with a value.
    """
    read: dict[str, Any] = yaml.safe_load((_DIRECTORY / "openapi.yaml").read_text())
    schemas = read["components"]["schemas"]
    schemas["codeDefaultFlag"] = {"not": {"required": ["value"]}}
    values = schemas["evaluationSuccess"]["allOf"][1]
    values["anyOf"] = values.pop("oneOf")
    return read


def problems(request: web.Request, response: web.StreamResponse) -> list[str]:
    """Say what the protocol does not say of an answer."""
    if not request.path.startswith(PATH) or request.method != hdrs.METH_POST:
        return []
    path = PATH if "key" not in request.match_info else f"{PATH}/{{key}}"
    said = protocol()["paths"][path]["post"]["responses"].get(str(response.status))
    if said is None and response.status not in _UNSAID:
        return [f"{path} {response.status}: no such status"]
    assert isinstance(response, web.Response)
    body = json.loads(response.body or b"null")
    return [
        f"{path} {response.status} {error.json_path}: {error.message}"
        for schema in _schemas(said or {})
        for error in validator(schema).iter_errors(body)
    ]


def _schemas(said: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [content["schema"] for content in said.get("content", {}).values()]


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """What a part of the description says of values."""
    whole = {**copy.deepcopy(dict(schema)), "components": protocol()["components"]}
    return Draft202012Validator(whole, format_checker=FormatChecker())
