"""What OpenFeature's remote evaluation protocol (OFREP) asks for."""

from collections.abc import Mapping
from typing import Any

from flagstream.errors import InvalidRequestError, quote

from . import json_text
from .flags import FlagsRequest, parse_flags_request
from .json_types import is_object

INVALID_CONTEXT = "invalid_context"
TARGETING_KEY_MISSING = "targeting_key_missing"

_KEY, _OBJECTS = "targetingKey", ("groups", "group_properties")
_NO_TOKEN = "-"  # noqa: S105 -- it comes as a header


def read_ofrep_request(raw: bytes, max_depth: int) -> FlagsRequest:
    """
    Read a body that was unwrapped; what it asks is a flag request without a token.

    Of its context ``targetingKey`` is the distinct id, ``groups`` and ``group_properties`` are what
    they are in every flag request, and all else is properties of the person.

    Raises:
        InvalidRequestError: Naming the member. Where it is one of the context, the code is one of
            those above.
    """
    decoded = json_text.loads(raw, max_depth)
    context = decoded.get("context") if is_object(decoded) else None
    if not is_object(context):
        raise _refused("context", "an object", context)
    spelled = _spelled(context)
    try:
        return parse_flags_request(spelled, {})
    except InvalidRequestError as error:
        raise InvalidRequestError(
            f"context.{error.detail}", code=INVALID_CONTEXT, attr=f"context.{error.attr}"
        ) from None


def _spelled(context: Mapping[str, Any]) -> dict[str, Any]:
    """Write a context as other flag requests are written."""
    key = context.get(_KEY)
    if not key or not isinstance(key, str):
        code = TARGETING_KEY_MISSING if key in (None, "") else INVALID_CONTEXT
        raise _refused(f"context.{_KEY}", "text", key, code)
    for name in _OBJECTS:
        if not is_object(context.get(name) or {}):
            raise _refused(f"context.{name}", "an object", context[name])
    return {
        "token": _NO_TOKEN,
        "distinct_id": key,
        **{name: context.get(name) for name in _OBJECTS},
        "person_properties": {
            name: value for name, value in context.items() if name not in (_KEY, *_OBJECTS)
        },
    }


def _refused(
    field: str, expected: str, got: object, code: str = INVALID_CONTEXT
) -> InvalidRequestError:
    detail = f"{field}: expected {expected}, got {quote(got)}"
    return InvalidRequestError(detail, code=code, attr=field)
