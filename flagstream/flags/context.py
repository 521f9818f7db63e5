"""What the server adds to a request's properties before matching."""

from collections.abc import Collection, Mapping
from typing import Any

from .values import number_text

Properties = Mapping[str, Any]

NOTHING: Properties = {}
# Properties of a first visit: where they are unknown, today's are the first.
INITIAL = {
    f"$initial_{name.removeprefix('$')}": name
    for name in (
        *("$app_build", "$app_name", "$app_namespace", "$app_version"),
        *("$browser", "$browser_version", "$device_type", "$os", "$os_name", "$os_version"),
        *("$current_url", "$host", "$pathname", "$referrer", "$referring_domain"),
        *("$raw_user_agent", "$screen_height", "$screen_width"),
        *("$viewport_height", "$viewport_width"),
        *("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_name", "utm_term"),
        *("gclid", "gad_source", "gclsrc", "dclid", "gbraid", "wbraid", "fbclid", "msclkid"),
        *("twclid", "li_fat_id", "mc_cid", "igshid", "ttclid", "rdt_cid", "epik", "qclid"),
        *("sccid", "irclid", "_kx"),
    )
}


METADATA = "\0metadata/"
"""Before the names of what is known of a person besides properties; no property begins so."""
CREATED_AT = METADATA + "created_at"


def person_properties(
    stored: Properties,
    given: Properties,
    distinct_id: str,
    names: Collection[str],
    created_at_ms: int | None = None,
) -> Properties:
    """
    Join what is known of a person with what a request gives, which goes before.

    Args:
        names: The only properties that are looked at.
        created_at_ms: When the person was first heard of; None where that is not known.
    """
    properties = {**stored, **given} if stored and given else given or stored
    added: dict[str, Any] = {}
    for name in names:
        if name == "distinct_id":
            added[name] = distinct_id
        elif name in INITIAL and name not in properties and INITIAL[name] in properties:
            added[name] = properties[INITIAL[name]]
        elif name == CREATED_AT and created_at_ms is not None:
            added[name] = created_at_ms / 1000
    return {**properties, **added} if added else properties


def group_properties(
    stored: Properties, given: Properties, group_key: str, names: Collection[str]
) -> Properties:
    """Join what is known of a group with what a request gives; its key is a property too."""
    properties = {**stored, **given} if stored and given else given or stored
    return {**properties, "$group_key": group_key} if "$group_key" in names else properties


def group_key_text(value: Any) -> str | None:
    """Read a group's key as a backend names it; None for what names no group."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return number_text(value)
