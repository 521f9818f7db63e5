"""Inputs to begin with: those that once failed, and what the cases of other tests hold."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"
_CASES = Path(__file__).parents[1] / "conformance" / "cases"
_MAX_BYTES = 4_096
_SEEDS = 150


def corpus(target: str) -> Iterator[bytes]:
    """Read the inputs that are kept for a target."""
    for path in sorted((CORPUS / target).iterdir()):
        yield path.read_bytes()


def seeds(target: str) -> list[bytes]:
    """Take the inputs to begin with."""
    found = [json.dumps(each).encode() for each in _documents(target)]
    small = [raw for raw in dict.fromkeys(found) if len(raw) <= _MAX_BYTES]
    step = max(1, len(small) // _SEEDS)
    prefix = b"\0\0" if target == "body" else b""
    return [*corpus(target), *(prefix + raw for raw in small[::step])]


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
