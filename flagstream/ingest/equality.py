"""When two JSON values are the same."""

from collections.abc import Mapping
from typing import Any

import orjson

from flagstream.state.persons import PersonUpdate
from flagstream.wire import GroupChange


def is_same(ours: Any, theirs: Any) -> bool:
    """Tell whether two values are one in JSON: 1, 1.0 and true are equal only in Python."""
    if ours != theirs:
        return False
    if isinstance(ours, str) or ours is None:
        return True
    return orjson.dumps(ours, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        theirs, option=orjson.OPT_SORT_KEYS
    )


def holds(properties: Mapping[str, Any], change: GroupChange | PersonUpdate) -> bool:
    """Tell whether *properties* are already as *change* would leave them."""
    return (
        all(
            name in properties and is_same(properties[name], value)
            for name, value in change.set.items()
        )
        and all(name in properties for name in change.set_once)
        and not any(name in properties for name in change.unset)
    )
