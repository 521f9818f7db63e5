"""When two JSON values are the same."""

from collections.abc import Mapping
from typing import Any

import orjson


def is_same(ours: Any, theirs: Any) -> bool:
    """Tell whether two values are one in JSON: 1, 1.0 and true are equal only in Python."""
    if ours != theirs:
        return False
    if isinstance(ours, str) or ours is None:
        return True
    return orjson.dumps(ours, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        theirs, option=orjson.OPT_SORT_KEYS
    )


def holds(properties: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    """Tell whether *properties* has all of *changes* already."""
    return all(
        name in properties and is_same(properties[name], value) for name, value in changes.items()
    )
