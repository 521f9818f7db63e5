"""Bodies of requests."""

from typing import Any

from aiohttp import hdrs, web

from flagstream.errors import BodyTooLargeError, InvalidRequestError, quote
from flagstream.wire import decode_body

from . import keys


async def read_rest(request: web.Request, raw: bytes, max_bytes: int) -> bytes:
    """
    Read on behind the first piece of a body.

    Raises:
        BodyTooLargeError: It has more than *max_bytes*.
    """
    pieces = [raw]
    size_bytes = len(raw)
    while not request.content.at_eof():
        if size_bytes > max_bytes:
            raise BodyTooLargeError(f"body: expected at most {max_bytes} bytes")
        pieces.append(await request.content.readany())
        size_bytes += len(pieces[-1])
    return b"".join(pieces)


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
    return decode_body(
        await request.read(),
        query={},
        content_encoding=request.headers.get(hdrs.CONTENT_ENCODING),
        max_bytes=settings.max_event_body_bytes,
        max_depth=settings.max_json_depth,
    )
