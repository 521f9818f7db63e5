"""Flag requests as today's clients write them, decoded straight into their type."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import orjson

from flagstream.limits import MAX_GROUP_NAME_CHARS, MAX_GROUPS_NAMED, MAX_ID_CHARS

from . import json_text
from .flags import FlagsRequest, parse_flags_request

_Id = Annotated[str, msgspec.Meta(max_length=MAX_ID_CHARS)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_GROUP_NAME_CHARS)]
_Groups = Annotated[dict[_Name, _Name], msgspec.Meta(max_length=MAX_GROUPS_NAMED)]
_EMPTY = msgspec.Raw(b"{}")
_IS_EMPTY = {b"{}", b"null"}


class _Plain(msgspec.Struct):
    """
    The spellings of today's SDKs; an older spelling may only be null here.

    Properties stay encoded, so that they are decoded as in every other body.
    """

    distinct_id: _Id
    token: str = ""
    api_key: str = ""
    anon_distinct_id: _Id | None = msgspec.field(default=None, name="$anon_distinct_id")
    browser_device_id: str | None = msgspec.field(default=None, name="$device_id")
    device_id: str | None = None
    session_id: str | None = msgspec.field(default=None, name="$session_id")
    groups: _Groups | None = None
    person_properties: msgspec.Raw = _EMPTY
    group_properties: msgspec.Raw = _EMPTY
    flag_keys: list[str] | None = None
    flag_keys_to_evaluate: list[str] | None = None
    disable_flags: bool | None = None
    evaluation_contexts: list[str] | None = None
    evaluation_runtime: str | None = None

    old_groups: None = msgspec.field(default=None, name="$groups")
    old_properties: None = msgspec.field(default=None, name="$properties")
    old_group_properties: None = msgspec.field(default=None, name="$group_properties")
    old_anon_distinct_id: None = msgspec.field(default=None, name="anon_distinct_id")
    old_session_id: None = msgspec.field(default=None, name="session_id")
    old_contexts: None = msgspec.field(default=None, name="evaluation_environments")


_decode = msgspec.json.Decoder(_Plain).decode


def read_flags_request(raw: bytes, query: Mapping[str, str], max_depth: int) -> FlagsRequest:
    """
    Read a body that was unwrapped, with the very result of decoding and parsing it.

    What is not as today's clients write it takes that longer way.

    Raises:
        UnauthenticatedError: There is no token.
        InvalidRequestError: This is no JSON, nested deeper than *max_depth*, or a field is wrong.
    """
    if json_text.brackets(raw) <= max_depth:
        try:
            plain = _decode(raw)
            person_properties = _properties(plain.person_properties)
            group_properties = _group_properties(plain.group_properties)
        except (ValueError, msgspec.DecodeError):
            pass  # the longer way says what is wrong, or reads it all the same
        else:
            token = plain.token or plain.api_key
            if token and "$device_id" not in person_properties:
                return _request(plain, token, person_properties, group_properties)
    return parse_flags_request(json_text.loads(raw, max_depth), query)


def _properties(raw: msgspec.Raw) -> dict[str, Any]:
    encoded = bytes(raw)
    if encoded in _IS_EMPTY:
        return {}
    if not encoded.startswith(b"{"):
        raise ValueError
    properties: dict[str, Any] = orjson.loads(encoded)
    return properties


def _group_properties(raw: msgspec.Raw) -> dict[str, dict[str, Any]]:
    by_type = _properties(raw)
    for properties in by_type.values():
        if type(properties) is not dict:
            raise ValueError
    return by_type


def _request(
    plain: _Plain,
    token: str,
    person_properties: dict[str, Any],
    group_properties: dict[str, dict[str, Any]],
) -> FlagsRequest:
    keys = plain.flag_keys_to_evaluate
    return FlagsRequest(
        token=token,
        distinct_id=plain.distinct_id,
        anon_distinct_id=plain.anon_distinct_id or None,
        device_id=plain.browser_device_id or plain.device_id or None,
        session_id=plain.session_id or None,
        groups=plain.groups or {},
        person_properties=person_properties,
        group_properties=group_properties,
        flag_keys=plain.flag_keys if keys is None else keys,
        disable_flags=plain.disable_flags is True,
        evaluation_contexts=plain.evaluation_contexts or (),
        evaluation_runtime=plain.evaluation_runtime or None,
    )
