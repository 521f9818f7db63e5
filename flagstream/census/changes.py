"""A change of a flag, taken along to where it is previewed: with what it follows from, no more."""

from typing import Any
from zoneinfo import ZoneInfo

from flagstream.flags import CohortDefinition, FlagDefinition, ParsedProject

from .preview import Change


def change_of(parsed: ParsedProject, then: FlagDefinition) -> Change:
    """
    Take what a flag follows from, as it is in a project and as it would be.

    Args:
        then: The definition that is to be; of a flag that there is, or of a new one.
    """
    now = parsed.flags.get(then.key)
    both = [None if each is None or not _is_on(each) else each for each in (now, then)]
    needed = [parsed.needed(each) for each in both if each is not None]
    names = {index: name for name, index in parsed.group_types.items()}
    index = then.filters.aggregation_group_type_index
    zone = parsed.matching.timezone
    return Change(
        key=then.key,
        now=None if both[0] is None else _dumped(both[0]),
        then=None if both[1] is None else _dumped(both[1]),
        group_type=None if index is None else names.get(index),
        flags=_flags(parsed, {key for each in needed for key in each.keys}),
        cohorts={
            cohort_id: _dumped(parsed.cohorts[cohort_id])
            for each in needed
            for cohort_id in each.cohort_ids
            if cohort_id in parsed.cohorts
        },
        group_types=dict(parsed.group_types),
        timezone=zone.key if isinstance(zone, ZoneInfo) else "UTC",
        property_matching_version=parsed.matching.version,
    )


def _is_on(definition: FlagDefinition) -> bool:
    return definition.active and not definition.deleted


def _flags(parsed: ParsedProject, keys: set[str]) -> dict[str, dict[str, Any]]:
    """Take the last good definition of each; of one that never was good, what cannot be read."""
    return {
        key: _dumped(parsed.flags[key]) if key in parsed.flags else dict(parsed.rows[key])
        for key in keys
    }


def _dumped(definition: FlagDefinition | CohortDefinition) -> dict[str, Any]:
    # As it was written: members that are not set mean something else than those that are null.
    return definition.model_dump(mode="json", exclude_unset=True)
