"""What is asked of ``/flags`` and ``/decide``, in every spelling that clients use."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from flagstream.errors import InvalidRequestError, UnauthenticatedError, quote
from flagstream.flags import number_text
from flagstream.limits import MAX_ID_CHARS

from .fields import all_group_keys, is_list, is_number, is_object

_NOTHING: Mapping[str, Any] = {}


class FlagsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """
    A flag request. A struct of msgspec: made in a tenth of a frozen dataclass's time.

    Attributes:
        distinct_id: "" where only the configuration is asked for.
        groups: Key by type as named in the request; what names no group is left out.
        person_properties: Go before the stored ones.
        group_properties: By type; go before the stored ones.
        flag_keys: Evaluate only these and what they depend on; None for all.
        evaluation_contexts: Empty sees all flags.
        evaluation_runtime: ``server``, ``client`` or ``all`` as named; None where it must be told
            from the headers.
    """

    token: str
    distinct_id: str
    anon_distinct_id: str | None
    device_id: str | None
    session_id: str | None
    groups: Mapping[str, str]
    person_properties: Mapping[str, Any]
    group_properties: Mapping[str, Mapping[str, Any]]
    flag_keys: Sequence[str] | None
    disable_flags: bool
    evaluation_contexts: Sequence[str]
    evaluation_runtime: str | None


def parse_flags_request(decoded: Any, query: Mapping[str, str]) -> FlagsRequest:
    """
    Read a decoded body.

    Args:
        query: ``token`` counts where the body has none.

    Raises:
        UnauthenticatedError: There is no token.
        InvalidRequestError: Naming the field.
    """
    if not is_object(decoded):
        raise InvalidRequestError(f"body: expected an object, got {quote(decoded)}")
    get = decoded.get
    person_properties = _object(get("person_properties") or get("$properties"), "person_properties")
    disable_flags = bool(get("disable_flags"))
    distinct_id = get("distinct_id")
    if distinct_id is None:
        distinct_id = get("$distinct_id", "" if disable_flags else None)
    groups = get("groups") or get("$groups")
    return FlagsRequest(
        token=_token(get("token") or get("api_key") or get("$token") or query.get("token")),
        distinct_id=_distinct_id(distinct_id),
        anon_distinct_id=_anon_distinct_id(get("$anon_distinct_id") or get("anon_distinct_id")),
        device_id=_text(
            get("$device_id") or get("device_id") or person_properties.get("$device_id"),
            "$device_id",
        ),
        session_id=_text(get("$session_id") or get("session_id"), "$session_id"),
        groups=all_group_keys(groups, "groups") if groups else {},
        person_properties=person_properties,
        group_properties=_group_properties(get("group_properties") or get("$group_properties")),
        flag_keys=_flag_keys(get),
        disable_flags=disable_flags,
        evaluation_contexts=_texts(
            get("evaluation_contexts") or get("evaluation_environments"), "evaluation_contexts"
        )
        or (),
        evaluation_runtime=_text(get("evaluation_runtime"), "evaluation_runtime"),
    )


def _token(value: Any) -> str:
    if not value or not isinstance(value, str):
        raise UnauthenticatedError(f"token: expected a project token, got {quote(value)}")
    return value


def _distinct_id(value: Any) -> str:
    if isinstance(value, str):
        return value[:MAX_ID_CHARS]
    if is_number(value):
        return number_text(value)
    raise _refused("distinct_id", "text or a number", value)


def _anon_distinct_id(value: Any) -> str | None:
    """Read an id that is stored, so it is cut as others are."""
    text = _text(value, "$anon_distinct_id")
    return None if text is None else text[:MAX_ID_CHARS]


def _text(value: Any, field: str) -> str | None:
    if not value:
        return None
    if isinstance(value, str):
        return value
    if is_number(value):
        return number_text(value)
    raise _refused(field, "text", value)


def _object(value: Any, field: str) -> Mapping[str, Any]:
    if not value:
        return _NOTHING
    if not is_object(value):
        raise _refused(field, "an object", value)
    return value


def _group_properties(value: Any) -> Mapping[str, Mapping[str, Any]]:
    properties = _object(value, "group_properties")
    for group_type, values in properties.items():
        if type(values) is not dict:
            raise _refused(f"group_properties.{group_type}", "an object", values)
    return properties


def _flag_keys(get: Callable[[str], Any]) -> Sequence[str] | None:
    """Read the limit; an empty list is one too."""
    keys = get("flag_keys_to_evaluate")
    return _texts(get("flag_keys") if keys is None else keys, "flag_keys")


def _texts(value: Any, field: str) -> Sequence[str] | None:
    if value is None:
        return None
    if not is_list(value) or not all(type(text) is str for text in value):
        raise _refused(field, "a list of texts", value)
    return value


def _refused(field: str, expected: str, got: Any) -> InvalidRequestError:
    return InvalidRequestError(f"{field}: expected {expected}, got {quote(got)}", attr=field)
