"""Addresses of the API and pages of its lists."""

from collections.abc import Mapping

from aiohttp import web
from yarl import URL

from flagstream.errors import InvalidRequestError, quote

API_ROOTS = ("/api/projects/{project}", "/api/environments/{project}")


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


def page_url(request: web.Request, changes: Mapping[str, str | int]) -> str:
    """Write the address of another page of the same list."""
    url: URL = request.url.update_query(changes)
    return str(url)
