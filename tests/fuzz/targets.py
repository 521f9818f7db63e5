"""What bytes are given to, and what must be so whatever they are."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import quote_plus

import orjson
import zstandard

from flagstream.errors import RequestError, quote
from flagstream.flags import (
    CompiledFlags,
    CompiledProject,
    Definitions,
    EvaluationContext,
    Reason,
    compile_project,
    lint,
    local_definitions,
    parse_cohort,
    parse_flag,
    parse_project,
)
from flagstream.management.cohort_rows import new_cohort_row
from flagstream.management.rows import changed_row, new_row
from flagstream.wire import (
    CaptureHeaders,
    EventLimits,
    GroupChange,
    group_lines,
    load_json,
    parse_capture,
    parse_capture_v1,
    parse_flags_request,
    read_flags_request,
    results,
    unwrap_body,
)
from tests.fuzz.edge import Edge

MAX_BYTES = 1 << 21
MAX_DEPTH = 64
NOW_MS = 1_764_000_000_000
GROUP_TYPES = {"organization": 0, "project": 1}
_LABELS = ("", "gzip", "deflate", "lz64", "lz-string", "base64", "zstd", "gzip-js")
WRAPPERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda raw: gzip.compress(raw, 1),
    "deflate": lambda raw: zlib.compress(raw, 1),
    "zstd": zstandard.ZstdCompressor(level=1).compress,
    "base64": base64.b64encode,
    "base64 of gzip": lambda raw: base64.b64encode(gzip.compress(raw, 1)),
    "form": lambda raw: b"data=" + quote_plus(raw).encode(),
}
_FAILURES = {Reason.DEPENDENCY_NOT_FOUND}
_CONTEXT = EvaluationContext(
    distinct_id="u",
    groups={"organization": "acme"},
    person_properties={"plan": "gold", "seats": 5, "list": ["a", 1, None], "at": "2024-01-31"},
    group_properties={"organization": {"plan": "gold", "version": "1.2.3", "on": True}},
    now_ms=NOW_MS,
)


def body(data: bytes) -> None:
    """Bodies under any label, and what decodes in any wrapping that is put around it."""
    label, how, raw = _LABELS[_first(data) % len(_LABELS)], _first(data[1:]), data[2:]
    plain = _decoded(raw, label)
    name = tuple(WRAPPERS)[how % len(WRAPPERS)]
    if raw[:1] in (b"{", b"[") and len(raw) <= MAX_BYTES // 4:
        wrapped = WRAPPERS[name](raw)
        is_named = name == "deflate"
        same = _decoded(wrapped, name if is_named else label if label != "deflate" else "")
        if not label.startswith("lz"):
            assert plain == same, f"{name}: {quote(plain)} != {quote(same)}"


def capture(data: bytes) -> None:
    """Events, as old and new clients send them."""
    decoded = _json(data)
    for parse in (_captured, _captured_v1):
        try:
            captured = parse(decoded)
        except RequestError:
            continue
        for _, event in captured.events:
            assert len(event.distinct_id) <= 200
            assert event.groups is None or len(event.groups) <= 100
            orjson.dumps([event.properties, event.groups, event.name, event.session_id])
            event.distinct_id.encode()
        for each in captured.rejections:
            assert len(each.detail) < 1_000
        orjson.dumps(results(captured, captured.rejections))


def _captured(decoded: Any) -> Any:
    return parse_capture(decoded, {"token": "phc_query", "_": "1"}, received_ms=NOW_MS)


def _captured_v1(decoded: Any) -> Any:
    headers = CaptureHeaders(token="phc_one", sdk="posthog-python/7", sent_at="2025-11-24")
    return parse_capture_v1(decoded, headers, received_ms=NOW_MS)


def flags(data: bytes) -> None:
    """Flag requests: the fast way reads what the thorough one does."""
    try:
        fast: Any = read_flags_request(data, {}, MAX_DEPTH)
    except RequestError as error:
        fast = type(error)
    try:
        thorough: Any = parse_flags_request(load_json(data, MAX_DEPTH), {})
    except RequestError as error:
        thorough = type(error)
    assert fast == thorough, f"{quote(fast)} != {quote(thorough)}"


def definitions(data: bytes) -> None:
    """Flags and cohorts: what is accepted is stored, compiled, asked, and read by people."""
    decoded = _json(data)
    if not isinstance(decoded, dict):
        return
    for judge in (_flag, _cohort):
        with suppress(RequestError):
            judge(decoded)


def _flag(sent: dict[str, Any]) -> None:
    row = new_row(sent, flag_id=1, bucketing="murmur3", now_ms=NOW_MS)
    stored = orjson.loads(orjson.dumps(changed_row(row, sent, now_ms=NOW_MS)))
    project = _compiled(Definitions(flags={stored["key"]: stored}, group_types=GROUP_TYPES))
    answers = CompiledFlags.of(project).answers(_CONTEXT)
    assert not any(each.failed for each in answers if each.reason not in _FAILURES)
    orjson.loads(b"{%b}" % b",".join(each.v2 for each in answers))
    for found in lint(parse_flag(stored), project):
        assert found
    local_definitions(project, remembers_groups=False)


def _cohort(sent: dict[str, Any]) -> None:
    row = new_cohort_row(sent, cohort_rows={}, now_ms=NOW_MS)
    stored = orjson.loads(orjson.dumps(row))
    parse_cohort(stored)
    _compiled(Definitions(cohorts={stored["id"]: stored}, group_types=GROUP_TYPES))


def _compiled(definitions: Definitions) -> CompiledProject:
    return compile_project(parse_project(definitions, None), None)


def groups(data: bytes) -> None:
    """Lines of groups."""
    try:
        lines = list(group_lines(data, MAX_DEPTH, EventLimits()))
    except RequestError:
        return
    for line in lines:
        if isinstance(line.read, GroupChange):
            assert 0 < len(line.read.group_key) <= 400
            orjson.dumps([line.read.group_type, line.read.set, line.read.set_once])
            orjson.dumps([line.read.group_key, line.read.unset])
        else:
            assert len(line.read.detail) < 1_000


def requests(data: bytes) -> None:
    """Requests as they arrive: none breaks anything, or is logged as if it had."""
    _edge().ask(data)


_edge = cache(Edge)

TARGETS: Mapping[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (body, capture, flags, definitions, groups, requests)
}


def _first(data: bytes) -> int:
    return data[0] if data else 0


def _decoded(raw: bytes, label: str) -> Any:
    """Decode; an error stands for its type, as what is wrong depends on the wrapping."""
    try:
        unwrapped = unwrap_body(
            raw, query={"compression": label}, content_encoding=None, max_bytes=MAX_BYTES
        )
        assert len(unwrapped) <= MAX_BYTES
        value = load_json(unwrapped, MAX_DEPTH)
    except RequestError as error:
        json.dumps(error.detail)
        return RequestError
    assert value == orjson.loads(orjson.dumps(value))
    return value


def _json(data: bytes) -> Any:
    try:
        return load_json(data, MAX_DEPTH)
    except RequestError:
        return None
