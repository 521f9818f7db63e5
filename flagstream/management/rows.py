"""Rows of flags, made from what was sent: members, types and defaults, without I/O."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from flagstream.errors import InvalidDefinitionError, InvalidRequestError, Problem

Row = Mapping[str, Any]

_KEY = re.compile(r"[A-Za-z0-9_-]{1,400}")
_TEXT = (str,)
_MEMBERS: dict[str, tuple[tuple[type, ...], str]] = {
    "key": (_TEXT, "a text"),
    "name": (_TEXT, "a text"),
    "filters": ((dict,), "an object"),
    "active": ((bool,), "true or false"),
    "deleted": ((bool,), "true or false"),
    "archived": ((bool,), "true or false"),
    "version": ((int,), "the version that was read"),
    "bucketing": (_TEXT, "murmur3 or sha1"),
    "bucketing_identifier": ((str, type(None)), "distinct_id, device_id or null"),
    "ensure_experience_continuity": ((bool,), "true or false"),
    "evaluation_runtime": (_TEXT, "server, client or all"),
    "evaluation_contexts": ((list,), "a list of texts"),
    "is_remote_configuration": ((bool,), "true or false"),
    "tags": ((list,), "a list of texts"),
}
# What an answer holds besides: clients send back what they have read.
READ_ONLY: Row = {
    "has_encrypted_payloads": False,
    "created_by": None,
    "last_modified_by": None,
    "experiment_set": [],
    "experiment_set_metadata": [],
    "surveys": [],
    "features": [],
    "can_edit": True,
    "usage_dashboard": None,
    "analytics_dashboards": [],
    "has_enriched_analytics": False,
    "user_access_level": "editor",
    "creation_context": "feature_flags",
    "last_called_at": None,
    "is_used_in_replay_settings": False,
    "is_eligible_for_experiment": False,
    "rollback_conditions": None,
    "performed_rollback": None,
}
_IGNORED = {*READ_ONLY, "id", "created_at", "updated_at", "status", "is_simple_flag"}
_SHORTHAND = "rollout_percentage"
_SPELLINGS = {"evaluation_tags": "evaluation_contexts"}


def new_row(body: Row, *, flag_id: int, bucketing: str, now_ms: int) -> dict[str, Any]:
    """
    Make the first row of a flag.

    Args:
        bucketing: Of a flag that names none itself.

    Raises:
        InvalidRequestError: A member is missing or wrong.
    """
    given = _checked(body)
    if "key" not in given:
        raise InvalidRequestError("key: expected a text", code="required", attr="key")
    if _KEY.fullmatch(given["key"]) is None:
        raise InvalidRequestError(
            "key: expected at most 400 letters, digits, hyphens and underscores",
            code="invalid_key",
            attr="key",
        )
    now = iso_time(now_ms)
    return {
        "id": flag_id,
        "name": "",
        "active": True,
        "deleted": False,
        "archived": False,
        "bucketing": bucketing,
        "bucketing_identifier": None,
        "ensure_experience_continuity": False,
        "evaluation_runtime": "all",
        "evaluation_contexts": [],
        "is_remote_configuration": False,
        "tags": [],
        **given,
        "filters": _normalized({"groups": [], **given.get("filters", {})}),
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }


def changed_row(row: Row, body: Row, *, now_ms: int) -> dict[str, Any]:
    """
    Make the next row of a flag.

    Of ``filters`` each member that is given replaces the stored one; the others stay.

    Raises:
        InvalidRequestError: A member is wrong, or the key would change.
    """
    given = _checked(body)
    if given.get("key", row["key"]) != row["key"]:
        raise InvalidRequestError(
            "key: a flag keeps its key; make another flag instead", code="immutable", attr="key"
        )
    return {
        **row,
        **given,
        "filters": _normalized({**row["filters"], **given.get("filters", {})}),
        "version": row["version"] + 1,
        "updated_at": iso_time(now_ms),
    }


def iso_time(time_ms: int) -> str:
    """Write Unix milliseconds as the API does."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def _checked(body: Row) -> dict[str, Any]:
    """Check names and types; what the engine reads is checked by its own parser."""
    given = {_SPELLINGS.get(name, name): value for name, value in body.items()}
    if _SHORTHAND in given:
        _expand_shorthand(given)
    problems = []
    for name, value in given.items():
        if name in _IGNORED:
            continue
        types, expected = _MEMBERS.get(name, ((), "no member of this name"))
        if type(value) not in types:
            problems.append(Problem(path=f"$.{name}", expected=expected, got=value))
    problems += _not_texts(given, "tags") + _not_texts(given, "evaluation_contexts")
    if problems:
        raise InvalidDefinitionError(problems)
    if "version" in given.get("filters", {}):
        raise InvalidRequestError(
            "filters.version: reserved", code="reserved_config_version", attr="filters.version"
        )
    return {name: value for name, value in given.items() if name not in _IGNORED}


def _expand_shorthand(given: dict[str, Any]) -> None:
    """Write a bare ``rollout_percentage``, as Terraform sends it, as the one condition it means."""
    percentage = given.pop(_SHORTHAND)
    if percentage is not None and "filters" not in given:
        given["filters"] = {"groups": [{"properties": [], "rollout_percentage": percentage}]}


def _not_texts(given: Row, name: str) -> list[Problem]:
    values = given.get(name)
    if not isinstance(values, list):
        return []
    return [
        Problem(path=f"$.{name}[{index}]", expected="a text", got=value)
        for index, value in enumerate(values)
        if not isinstance(value, str)
    ]


def _normalized(filters: Row) -> dict[str, Any]:
    """Write payloads as the JSON texts that clients expect."""
    payloads = filters.get("payloads")
    if not isinstance(payloads, dict):
        return dict(filters)
    texts = {
        name: value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in payloads.items()
    }
    return {**filters, "payloads": texts}
