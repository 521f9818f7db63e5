"""Addresses of the API and pages of its lists."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import orjson
from aiohttp import web

from flagstream.errors import InvalidRequestError, NotFoundError, quote

from .forwarded import public_url

API_ROOTS = ("/api/projects/{project}", "/api/environments/{project}")
_MAX_PAGE = 1_000
_MAX_OFFSET = 10**9
Row = Mapping[str, Any]
T = TypeVar("T")


def list_document(
    request: web.Request, rows: Sequence[T], document: Callable[[T], Row]
) -> dict[str, Any]:
    """
    Make the page that the query's ``limit`` and ``offset`` ask for.

    Args:
        rows: All that the list holds, in its order.
        document: Shows a row.

    Raises:
        InvalidRequestError: There is no such page.
    """
    limit = bounded_int(request, "limit", default=100, highest=_MAX_PAGE)
    offset = bounded_int(request, "offset", default=0, lowest=0, highest=_MAX_OFFSET)
    return {
        "count": len(rows),
        "next": _other_page(request, offset + limit, limit) if offset + limit < len(rows) else None,
        "previous": _other_page(request, max(0, offset - limit), limit) if offset else None,
        "results": list(map(document, rows[offset : offset + limit])),
    }


def _other_page(request: web.Request, offset: int, limit: int) -> str:
    return page_url(request, {"limit": limit, "offset": offset})


def path_id(request: web.Request, what: str) -> int:
    """
    Read the id in the path.

    Args:
        what: It is the id of, in words.

    Raises:
        NotFoundError: It is no number.
    """
    text = request.match_info["id"]
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(_MAX_OFFSET)):
        raise NotFoundError(f"There is no {what} with id {quote(text)}.")
    return int(text)


def bounded_int(
    request: web.Request, name: str, *, default: int | None, highest: int, lowest: int = 1
) -> int:
    """
    Read a number from the query.

    Raises:
        InvalidRequestError: It is missing without a default, no number, or out of range.
    """
    text = request.query.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > len(str(highest)):
        number = -1
    else:
        number = int(text)
    if not lowest <= number <= highest:
        raise InvalidRequestError(
            f"{name}: expected a number from {lowest} to {highest}, got {quote(text)}", attr=name
        )
    return number


def cursor_of(after: str) -> Mapping[str, str]:
    """Write the query of the page behind a key."""
    return {"cursor": base64.urlsafe_b64encode(orjson.dumps({"k": after})).decode()}


def cursor_after(request: web.Request) -> str | None:
    """Read the key that a page begins behind; a bad cursor starts anew, as in PostHog."""
    try:
        key = orjson.loads(base64.urlsafe_b64decode(request.query.get("cursor", "")))["k"]
    except (ValueError, KeyError, TypeError):
        return None
    return key if isinstance(key, str) else None


def page_url(request: web.Request, changes: Mapping[str, str | int]) -> str:
    """Write the address of another page of the same list."""
    return str(public_url(request).update_query(changes))
