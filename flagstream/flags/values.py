"""Property values read as numbers and as texts, the way PostHog's server reads them."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import orjson

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGERS = range(-(2**63), 2**64)  # beyond, JSON numbers are read as floats


def encoded(value: Any) -> bytes:
    """Encode what is kept for long: orjson leaves 4 KB of room behind whatever it returns."""
    return bytes(memoryview(orjson.dumps(value)))


def members(value: Any) -> Sequence[Any] | None:
    """Take a list for what it is; None for anything else."""
    return cast("Sequence[Any]", value) if isinstance(value, list) else None


def each_of(value: Any) -> Sequence[Any]:
    """Take what is no list for a list of one."""
    found = members(value)
    return [value] if found is None else found


def number_text(number: float) -> str:
    """Write a number as clients in JavaScript do: 5 and 5.0 name the same group."""
    if isinstance(number, float) and number.is_integer() and abs(number) < 2**63:
        return str(int(number))
    return str(number)


def number(value: Any) -> float | None:
    """Read a number or the text of one; None where it is neither, booleans included."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        return None
    try:
        parsed = float(value)
    except OverflowError:
        return None
    return parsed if math.isfinite(parsed) else None


def text(value: Any) -> str:
    """Read a value as text: a text as it is, anything else as compact JSON with sorted keys."""
    if isinstance(value, str):
        return value
    try:
        return _json_text(value)
    except RecursionError:  # far deeper than a request may be
        return "null"


def _json_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value in _INTEGERS else _float_text(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return _container_text(value)


def _container_text(value: Any) -> str:
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        pairs = (f"{_json_text(key)}:{_json_text(members[key])}" for key in sorted(members))
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_json_text, cast("list[Any]", value))) + "]"
    return "null"


def _float_text(value: float) -> str:
    """Write a float as the server does: ``0.00001``, ``1e-6``, ``1e+16``; null beyond floats."""
    try:
        shortest = repr(float(value))
    except OverflowError:
        return "null"
    if not math.isfinite(float(value)):
        return "null"
    mantissa, _, exponent = shortest.partition("e")
    if not exponent:
        return shortest
    if int(exponent) == -5:  # noqa: PLR2004 -- the one exponent that Python alone writes
        return format(Decimal(shortest), "f")
    return f"{mantissa}e{int(exponent):+d}"
