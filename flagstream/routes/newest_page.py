"""Lists of what was written last, read from the log as far as it reaches."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from flagstream.errors import InvalidFieldError, RecordError
from flagstream.newest import Ends, Wanted, newest
from flagstream.openapi import Parameter
from flagstream.ports import LogRecord
from flagstream.state.records import Record
from flagstream.topics import Topic

from . import keys
from .pages import bounded_int, cursor_after, cursor_of, page_url
from .responses import bytes_response
from .shapes.common import CURSOR

PAGE = 100
PARAMETERS = (
    Parameter(
        name="limit",
        shape=Annotated[int, Meta(ge=1, le=PAGE)],
        text="How many a page has at most; 100 where it is not given.",
    ),
    CURSOR,
)
"""What :func:`newest_page` reads."""
_PLACES = re.compile(r"[0-9]{1,4}-[0-9]{1,15}(,[0-9]{1,4}-[0-9]{1,15})*", re.ASCII)
R = TypeVar("R", bound=Record)


async def newest_page(
    request: web.Request, topic: Topic, wanted: Wanted[Mapping[str, Any]]
) -> web.Response:
    """
    Answer with the newest records of a topic, as *wanted* shows them.

    A request looks at a bounded number of records; ``next`` goes on where it stopped.

    Raises:
        InvalidRequestError: There is no such page.
        LogUnavailableError: The log cannot be read now.
    """
    limit = bounded_int(request, "limit", default=PAGE, highest=PAGE)
    reader, ends = request.app[keys.READER], _ends(request)
    page = await newest(reader, topic, wanted, limit=limit, ends=ends)
    following = page_url(request, cursor_of(_text(page.ends))) if page.ends else None
    body = {"next": following, "previous": None, "results": page.found}
    # Not by what encodes other answers: producers of their own write integers of any length.
    return bytes_response(msgspec.json.encode(body))


def decoded(kind: type[R], record: LogRecord) -> R | None:
    """Decode a record; None for what is no such thing, which the agents set aside as well."""
    try:
        return kind.from_bytes(record.value or b"")
    except RecordError:
        return None


def _ends(request: web.Request) -> Ends | None:
    if "cursor" not in request.query:
        return None
    text = cursor_after(request)
    if text is None or _PLACES.fullmatch(text) is None:
        raise InvalidFieldError("cursor", "that of a page's address", request.query["cursor"])
    places = (place.split("-") for place in text.split(","))
    return {int(partition): int(end) for partition, end in places}


def _text(ends: Ends) -> str:
    return ",".join(f"{partition}-{end}" for partition, end in ends.items())
