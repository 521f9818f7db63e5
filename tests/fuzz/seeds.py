"""Inputs to begin with: those that once failed, and what the cases of other tests hold."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.documented import document
from tests.fakes.views import PROJECT
from tests.fuzz.targets import WRAPPERS

CORPUS = Path(__file__).parent / "corpus"
_CASES = Path(__file__).parents[1] / "conformance" / "cases"
_MAX_BYTES = 4_096
_SEEDS = 150
_FILLED = {"project": "@current", "token": PROJECT.token, "name": "array.js"}


def corpus(target: str) -> Iterator[bytes]:
    """Read the inputs that are kept for a target."""
    for path in sorted((CORPUS / target).iterdir()):
        yield path.read_bytes()


def seeds(target: str) -> list[bytes]:
    """Take the inputs to begin with."""
    found = [json.dumps(each).encode() for each in _documents(target)]
    small = [raw for raw in dict.fromkeys(found) if len(raw) <= _MAX_BYTES]
    some = small[:: max(1, len(small) // _SEEDS)]
    if target == "body":
        some = [b"\0\0" + each for raw in some for each in (raw, *_wrapped(raw))]
    elif target == "requests":
        some = [*map(_captured, some), *_asked()]
    return [*corpus(target), *some]


def _wrapped(raw: bytes) -> Iterator[bytes]:
    yield from (wrap(raw) for wrap in WRAPPERS.values())


def _captured(raw: bytes) -> bytes:
    path = "/flags/?v=2" if b'"event"' not in raw else "/batch/?wait=1"
    return _request("POST", path, raw)


def _asked() -> Iterator[bytes]:
    """Ask each operation for something."""
    for path, operations in document()["paths"].items():
        for method in operations:
            filled = re.sub(r"\{(\w+)\}", lambda name: _FILLED.get(name[1], "1"), path)
            body = b"{}" if method != "get" else b""
            yield _request(method.upper(), f"{filled}?group_type_index=0&group_key=a&limit=1", body)


def _request(method: str, path: str, body: bytes) -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {PROJECT.secret_key}\r\n"
        "Origin: https://app.example\r\nUser-Agent: posthog-node/5.7\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _documents(target: str) -> Iterator[Any]:
    if target == "definitions":
        for name in ("accepted", "refused", "cohorts", "flags", "refused_cohorts"):
            yield from _rows(json.loads((_CASES / f"{name}.json").read_text()))
    elif target == "groups":
        yield {"group_type": "organization", "group_key": "a", "group_properties": {"b": 1}}
        yield {"group_type": "project", "group_key": 7, "set_once": {"b": []}, "unset": ["c"]}
    else:
        for name in ("wire_rows", "client_requests", "capture_requests", "capture_refused_events"):
            yield from _bodies(json.loads((_CASES / f"{name}.json").read_text()))


def _rows(part: Any) -> Iterator[Mapping[str, Any]]:
    """Find what defines a flag or a cohort."""
    if isinstance(part, list):
        for each in part:
            yield from _rows(each)
    elif isinstance(part, dict):
        if "filters" in part or "key" in part:
            yield {"name": "n", **part}
        for each in part.values():
            yield from _rows(each)


def _bodies(part: Any) -> Iterator[Any]:
    """Find what is sent."""
    if isinstance(part, list):
        for each in part:
            yield from _bodies(each)
    elif isinstance(part, dict):
        if "distinct_id" in part or "batch" in part:
            yield {"token": "phc_one", **part}
        for each in part.values():
            yield from _bodies(each)
