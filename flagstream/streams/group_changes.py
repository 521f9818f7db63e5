"""What a change of a group's properties makes of its flags; pure."""

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from flagstream.flags import CompiledFlags, Evaluation

Properties = Mapping[str, Any]


def group_change(
    flags: CompiledFlags, group: tuple[str, str], before: Properties, after: Properties
) -> dict[str, Any] | None:
    """
    Tell which flags answer a group otherwise.

    Args:
        group: Its type and its key.
        before: Its properties, before they changed.

    Returns:
        ``group_type``, ``group_key``, ``flags``, each with ``key``, ``before`` and ``after``, and
        ``undecided``: the keys of flags that look at what has changed, and at the user as well.
        None where there is neither.
    """
    group_type, group_key = group
    names = _differing(flags.group_names.get(group_type, ()), before, after)
    if not names:
        return None
    own = flags.group_flags(group_type)
    answers = [
        own.answers(flags.group_context(group_type, group_key, properties))
        for properties in (before, after)
    ]
    changed = [
        _change(old, new) for old, new in zip(*answers, strict=True) if said(old) != said(new)
    ]
    undecided = flags.other_flags.looking_at(group_type, names)
    if not changed and not undecided:
        return None
    return {
        "group_type": group_type,
        "group_key": group_key,
        "flags": changed,
        "undecided": undecided,
    }


def said(evaluation: Evaluation) -> tuple[str | bool | None, str | None]:
    """What an application is told by an answer: the value, None for none, and the payload."""
    return None if evaluation.failed else evaluation.value, evaluation.payload


def _change(old: Evaluation, new: Evaluation) -> dict[str, Any]:
    change = {"key": new.key, "before": said(old)[0], "after": said(new)[0]}
    return change if new.payload is None else {**change, "payload": new.payload}


def _differing(names: Collection[str], before: Properties, after: Properties) -> Collection[str]:
    """Pick the names of the properties that differ, by what JSON makes of them."""
    return [name for name in names if _encoded(before, name) != _encoded(after, name)]


def _encoded(properties: Properties, name: str) -> bytes:
    return orjson.dumps(properties[name]) if name in properties else b""
