"""Which flags a list shows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import msgspec
from aiohttp import web

from flagstream.errors import InvalidFieldError
from flagstream.openapi import Parameter

from .shapes.common import SEARCH

Row = Mapping[str, Any]
_Test = Callable[[Row], bool]

_STATES = {"true": True, "false": False}


def matching_flags(request: web.Request, flag_rows: Iterable[Row]) -> Sequence[Row]:
    """
    Pick the flags that are not deleted and that the query asks for, the newest first.

    Raises:
        InvalidFieldError: The query asks for what cannot be.
    """
    given = request.query
    tests = [test_of(given[name]) for name, test_of in _FILTERS.items() if name in given]
    matching = [row for row in flag_rows if not row["deleted"] and all(test(row) for test in tests)]
    return sorted(matching, key=lambda row: row["id"], reverse=True)


def _search(text: str) -> _Test:
    part = text.lower()
    return lambda row: part in row["key"].lower() or part in (row["name"] or "").lower()


def _state(name: str, text: str) -> _Test:
    wanted = _STATES.get(text.lower())
    if wanted is None:
        raise InvalidFieldError(name, "true or false", text)
    # Rows of imports may hold null for what they do not say.
    return lambda row: bool(row.get(name)) is wanted


def _kind(text: str) -> _Test:
    if text not in _KINDS:
        raise InvalidFieldError("type", f"one of {', '.join(_KINDS)}", text)
    return _KINDS[text]


def _has_variants(row: Row) -> bool:
    multivariate = row["filters"].get("multivariate")
    return bool(multivariate and multivariate.get("variants"))


_KINDS: Mapping[str, _Test] = {
    "boolean": lambda row: not _has_variants(row),
    "multivariant": _has_variants,
    # There are none, so no flag is of one.
    "experiment": lambda _: False,
    "remote_config": lambda row: bool(row.get("is_remote_configuration")),
}


def _runtime(text: str) -> _Test:
    if text not in ("server", "client", "all"):
        raise InvalidFieldError("evaluation_runtime", "server, client or all", text)
    return lambda row: bool(row["evaluation_runtime"] == text)


def _tags(text: str) -> _Test:
    """Look for tags, all of which a flag must have: with commas between them, or a JSON list."""
    try:
        listed = msgspec.json.decode(text, type=list[str]) if text.startswith("[") else None
    except msgspec.DecodeError as error:
        raise InvalidFieldError(
            "tags", "names with commas between them, or a list", text
        ) from error
    tags = set(filter(None, text.split(","))) if listed is None else set(listed)
    return lambda row: tags <= set(row["tags"] or ())


_FILTERS: Mapping[str, Callable[[str], _Test]] = {
    "search": _search,
    "active": partial(_state, "active"),
    "archived": partial(_state, "archived"),
    "type": _kind,
    "evaluation_runtime": _runtime,
    "tags": _tags,
}

_State = Literal["true", "false"]
PARAMETERS = (
    SEARCH,
    Parameter(name="active", shape=_State, text="Whether they are active."),
    Parameter(name="archived", shape=_State, text="Whether they are archived."),
    Parameter(
        name="type",
        shape=Literal["boolean", "multivariant", "experiment", "remote_config"],
        text="Of what type they are.",
    ),
    Parameter(
        name="evaluation_runtime",
        shape=Literal["server", "client", "all"],
        text="Whose requests see them.",
    ),
    Parameter(
        name="tags",
        shape=str,
        text="Tags, all of which they have: with commas between them, or as a JSON list.",
    ),
)
"""What :func:`matching_flags` reads."""
