"""Rows of flags, made from what was sent: members, types and defaults, without I/O."""

import re
from typing import Any

from flagstream.errors import InvalidDefinitionError, InvalidRequestError, Problem
from flagstream.flags import parse_flag

from .bodies import Row, iso_time, unknown_members

DEFINING = (
    "key",
    "name",
    "active",
    "archived",
    "deleted",
    "bucketing",
    "bucketing_identifier",
    "ensure_experience_continuity",
    "evaluation_runtime",
    "evaluation_contexts",
    "is_remote_configuration",
    "tags",
    "filters",
)
"""The members that define a flag; the others of a row say what became of it."""

_KEY = re.compile(r"[A-Za-z0-9_-]{1,400}")
_WRITABLE = {*DEFINING, "version"}
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
    "scheduled_steps": {},
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
    return _canonical(
        {
            "id": flag_id,
            "name": "",
            "active": True,
            "archived": False,
            "deleted": False,
            "bucketing": bucketing,
            "bucketing_identifier": None,
            "ensure_experience_continuity": False,
            "evaluation_runtime": "all",
            "evaluation_contexts": [],
            "is_remote_configuration": False,
            "tags": [],
            **given,
            "filters": {"groups": [], **given.get("filters", {})},
            "version": 1,
            "created_at": now,
            "updated_at": now,
        }
    )


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
    return _canonical(
        {
            **row,
            **given,
            "filters": {**row["filters"], **given.get("filters", {})},
            "version": row["version"] + 1,
            "updated_at": iso_time(now_ms),
        }
    )


def restored_row(row: Row, before: Row, *, now_ms: int) -> dict[str, Any]:
    """
    Make the next row of a flag, defined as it was once before.

    Raises:
        InvalidRequestError: What was right then is not any more.
    """
    defining = {name: before[name] for name in DEFINING if name in before}
    counted = {"version": row["version"] + 1, "updated_at": iso_time(now_ms)}
    return _canonical({**row, **defining, **counted})


def _canonical(row: dict[str, Any]) -> dict[str, Any]:
    """Check a whole row with the engine's parser, and write payloads as the JSON texts it makes."""
    payloads = parse_flag(row).filters.payloads
    if payloads is None:
        return row
    return {**row, "filters": {**row["filters"], "payloads": payloads}}


def _checked(body: Row) -> dict[str, Any]:
    """Refuse members of unknown names; types are left to the engine's parser."""
    given = {_SPELLINGS.get(name, name): value for name, value in body.items()}
    if _SHORTHAND in given:
        _expand_shorthand(given)
    given = {name: value for name, value in given.items() if name not in _IGNORED}
    problems = unknown_members(given, _WRITABLE)
    if not isinstance(given.get("filters", {}), dict):
        problems.append(Problem(path="$.filters", expected="an object", got=given["filters"]))
    if not isinstance(given.get("key", ""), str):
        problems.append(Problem(path="$.key", expected="a text", got=given["key"]))
    if problems:
        raise InvalidDefinitionError(problems)
    if "version" in given.get("filters", {}):
        raise InvalidRequestError(
            "filters.version: a reserved name",
            code="reserved_config_version",
            attr="filters.version",
        )
    return given


def _expand_shorthand(given: dict[str, Any]) -> None:
    """Write a bare ``rollout_percentage``, as Terraform sends it, as the one condition it means."""
    percentage = given.pop(_SHORTHAND)
    if percentage is not None and "filters" not in given:
        given["filters"] = {"groups": [{"properties": [], "rollout_percentage": percentage}]}
