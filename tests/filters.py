"""Filters of flags, as the API takes them."""

from typing import Any


def group_filters(rollout: float = 100, index: int = 0, **properties: Any) -> dict[str, Any]:
    """Filters of a group flag whose groups have all of *properties*."""
    tests = [
        {
            "key": name,
            "type": "group",
            "group_type_index": index,
            "operator": "exact",
            "value": [value],
        }
        for name, value in properties.items()
    ]
    return {
        "aggregation_group_type_index": index,
        "groups": [{"properties": tests, "rollout_percentage": rollout}],
    }
