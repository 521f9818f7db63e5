"""JSON as clients really send it: read fast when well formed, mended where that is safe."""

import json
import math
import re
from typing import Any

import orjson

from flagstream.errors import BodyTooLargeError, InvalidRequestError

MAX_VALUES = 1_000_000
"""As many commas and brackets: what is sent in two bytes may take a hundred once decoded."""
_MAX_MENDED_VALUES = 200_000  # ten times slower, and nobody else is served meanwhile
_INT64_DIGITS = 18
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def loads(raw: bytes, max_depth: int) -> Any:
    """
    Decode JSON.

    NaN and infinities become null, invalid UTF-8 and lone surrogates are replaced, integers
    beyond 64 bits become floats as in JavaScript, of duplicate names the last wins. So whatever
    is returned can be encoded again.

    Raises:
        InvalidRequestError: This is no JSON, or it is nested deeper than *max_depth*.
        BodyTooLargeError: There may be more than :data:`MAX_VALUES` in it.
    """
    opened = brackets(raw)
    values = opened + raw.count(b",")
    if values > MAX_VALUES:
        raise BodyTooLargeError(f"body: expected at most {MAX_VALUES} values, got {values}")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if values > _MAX_MENDED_VALUES:
            raise InvalidRequestError(f"body: expected JSON, got {error.msg}") from None
        return _mended(raw, max_depth)
    # As many brackets as that are needed to be too deep: spares small bodies the walk.
    if opened > max_depth and is_deeper(value, max_depth):
        raise _too_deep(max_depth)
    return value


def brackets(raw: bytes) -> int:
    """Count what may open an object or a list: it is nested no deeper than that."""
    # Where there are few, a fifth of the time of bytes.count, which looks at each byte by itself.
    return 2 * len(raw) - len(raw.replace(b"{", b"")) - len(raw.replace(b"[", b""))


def decoded_bytes(raw: bytes) -> int:
    """Estimate what the decoded JSON of *raw* takes in memory."""
    return len(raw) + 100 * (raw.count(b",") + brackets(raw))


def _mended(raw: bytes, max_depth: int) -> Any:
    text = raw.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        value = json.loads(
            text, parse_constant=lambda _: None, parse_float=_finite, parse_int=_integer
        )
    except json.JSONDecodeError as error:
        detail = f"body: expected JSON, got {error.msg} at character {error.pos}"
        raise InvalidRequestError(detail) from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    if is_deeper(value, max_depth):
        raise _too_deep(max_depth)
    return _encodable(value) if _ESCAPED_SURROGATE.search(text) else value


def _encodable(value: Any) -> Any:
    """Replace lone surrogates, which came through as they were escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_encodable(each) for each in value]
    if isinstance(value, dict):
        return {_encodable(name): _encodable(each) for name, each in value.items()}
    return value


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _integer(text: str) -> float | None:
    return int(text) if len(text) <= _INT64_DIGITS else _finite(text)


def is_deeper(value: Any, max_depth: int) -> bool:
    """
    Tell whether there are more levels of objects and lists around the innermost value.

    Goes level by level: a recursion could be driven to its limit.
    """
    level = [value]
    for _ in range(max_depth + 1):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True


def _too_deep(max_depth: int) -> InvalidRequestError:
    return InvalidRequestError(f"body: expected at most {max_depth} levels of nesting, got more")
