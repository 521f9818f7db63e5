"""Bodies of requests: read within bounds, and decoded without holding up other requests."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from aiohttp import hdrs, web

from flagstream.errors import BodyTooLargeError, InvalidRequestError, quote
from flagstream.wire import decoded_bytes, load_json, too_large, unwrap_body

from . import keys

LIGHT_BYTES = 65_536
"""What the event loop decodes itself, as sent and unwrapped; more takes it milliseconds."""
_NO_QUERY: Mapping[str, str] = {}
T = TypeVar("T")


async def read_body(request: web.Request, max_bytes: int) -> bytes:
    """
    Read a body as it was sent.

    Raises:
        BodyTooLargeError: It has more than *max_bytes*.
        UnavailableError: There is no room for it beside those of other requests.
    """
    raw = await request.content.readany()
    return raw if request.content.at_eof() else await read_rest(request, raw, max_bytes)


async def read_rest(request: web.Request, raw: bytes, max_bytes: int) -> bytes:
    """Read on behind the first piece of a body; as :func:`read_body`."""
    if (request.content_length or 0) > max_bytes:
        raise too_large(max_bytes)
    share = request.app[keys.ROOM].share_of(request)
    share.take(len(raw))
    pieces, size_bytes = [raw], len(raw)
    while not request.content.at_eof():
        piece = await request.content.readany()
        share.take(len(piece))
        pieces.append(piece)
        size_bytes += len(piece)
        if size_bytes > max_bytes:
            raise too_large(max_bytes)
    return b"".join(pieces)


async def decoded(
    request: web.Request,
    raw: bytes,
    parse: Callable[[bytes], T],
    *,
    max_bytes: int,
    query: Mapping[str, str] = _NO_QUERY,
) -> T:
    """
    Unwrap and parse a body; a large one in a thread, where it is its turn.

    Args:
        query: As :func:`flagstream.wire.unwrap_body` takes it.
        parse: Pure, of what was unwrapped.

    Raises:
        RequestError: Of these two.
        UnavailableError: There is no room for what is in it.
    """
    unwrap = partial(
        unwrap_body,
        raw,
        query=query,
        content_encoding=request.headers.get(hdrs.CONTENT_ENCODING),
    )
    if len(raw) <= LIGHT_BYTES:
        try:
            light = unwrap(max_bytes=min(max_bytes, LIGHT_BYTES))
        except BodyTooLargeError:
            pass  # there is more in it
        else:
            return parse(light)
    room = request.app[keys.ROOM]
    share = room.share_of(request)
    async with room.turn:
        unwrapped = await asyncio.to_thread(unwrap, max_bytes=max_bytes)
        share.take(await asyncio.to_thread(decoded_bytes, unwrapped))
        return await asyncio.to_thread(parse, unwrapped)


async def read_object(request: web.Request) -> dict[str, Any]:
    """
    Read a JSON object.

    Raises:
        InvalidRequestError: It is something else.
        BodyTooLargeError: It is larger than a single event may be.
    """
    body = await _read(request)
    if not isinstance(body, dict):
        raise InvalidRequestError(f"body: expected an object, got {quote(body)}")
    return body


async def read_optional_object(request: web.Request) -> dict[str, Any]:
    """Read a JSON object, likewise; without a body an empty one."""
    return await read_object(request) if request.can_read_body else {}


async def read_list(request: web.Request) -> list[dict[str, Any]]:
    """Read a JSON list of objects, likewise."""
    body = await _read(request)
    if not isinstance(body, list) or not all(isinstance(each, dict) for each in body):
        raise InvalidRequestError(f"body: expected a list of objects, got {quote(body)}")
    return body


async def _read(request: web.Request) -> Any:
    settings = request.app[keys.SETTINGS]
    max_bytes = settings.max_event_body_bytes
    raw = await read_body(request, max_bytes)
    load = partial(load_json, max_depth=settings.max_json_depth)
    return await decoded(request, raw, load, max_bytes=max_bytes)
