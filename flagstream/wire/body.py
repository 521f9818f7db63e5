"""From the bytes of a request to JSON, whatever they are wrapped in."""

import binascii
import re
import string
import zlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import zstandard

from flagstream.errors import BodyTooLargeError, InvalidRequestError

from . import json_text, lz_string

_MAX_WRAPPINGS = 4
MAX_RATIO = 200
"""How many times what was sent may come out of it: events hold ids, and shrink to a fiftieth."""
_FREE_BYTES = 1_048_576  # so much may come out of anything
MAX_TEXT_BYTES = 2_097_152
"""The largest base64 or form: what pages send one event in, and slow to read."""
_COMPRESSION = re.compile(rb"[A-Za-z0-9-]*")
_SPACES = b" \t\n\r\f\v"
_BEFORE_JSON = _SPACES + b"\xef\xbb\xbf"
_LOOKED_AT_BYTES = 1_024
_BASE64 = string.ascii_letters.encode() + string.digits.encode() + b"+/-_" + _SPACES
_BASE64_STANDARD = bytes.maketrans(b"-_ ", b"+/+")
# What every reader should take, RFC 8878; memory of this size is taken before anything is read.
_MAX_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
_LZ_LABELS = {"lz64", "lz-string"}


def decode_body(
    raw: bytes,
    *,
    query: Mapping[str, str],
    content_encoding: str | None,
    max_bytes: int,
    max_depth: int,
) -> Any:
    """
    Decode what a client sent.

    Clients label their bodies wrongly or not at all, so the bytes are looked at first; labels
    only count for what cannot be told by looking: LZ-string and bare deflate. The content type
    never does.

    Args:
        query: ``data`` goes before the body (pixels); ``compression`` is a label.
        max_bytes: As sent, and after each unwrapping; then also at most :data:`MAX_RATIO` times
            what was sent, unless that is less than a mebibyte.
        max_depth: Levels of nested objects and lists.

    Raises:
        BodyTooLargeError: As soon as either is passed.
        InvalidRequestError: This cannot be decoded.
    """
    raw = unwrap_body(raw, query=query, content_encoding=content_encoding, max_bytes=max_bytes)
    return json_text.loads(raw, max_depth)


def unwrap_body(
    raw: bytes, *, query: Mapping[str, str], content_encoding: str | None, max_bytes: int
) -> bytes:
    """Take everything off a body that clients wrap JSON in; as :func:`decode_body`."""
    if query and (data := query.get("data")):
        raw = data.encode("utf-8", "replace")
    if len(raw) > max_bytes:
        raise too_large(max_bytes)
    if raw[:1] not in (b"{", b"["):
        label = query.get("compression") or content_encoding or ""
        # Of all wrappings together: each could multiply what the one around it let through.
        bound = min(max_bytes, max(_FREE_BYTES, MAX_RATIO * len(raw)))
        raw = _unwrap(raw, label.lower(), bound)
    if not raw:
        raise InvalidRequestError("body: expected JSON, got nothing")
    return raw


def _unwrap(raw: bytes, label: str, max_bytes: int) -> bytes:
    """Take off one wrapping after the other until JSON begins, or nothing is left to try."""
    for _ in range(_MAX_WRAPPINGS):
        wrapped = raw
        if (inflate := _by_magic(raw)) is not None:
            raw = inflate(raw, max_bytes)
        elif label == "deflate":
            raw, label = _inflate_either(raw, max_bytes), ""
        elif _begins_json(raw):
            break
        else:
            raw, label = _from_text(raw, label, max_bytes)
        if raw is wrapped or raw[:1] in (b"{", b"["):
            break
    return raw


def _from_text(raw: bytes, label: str, max_bytes: int) -> tuple[bytes, str]:
    """Take off a form or base64, if it is one; with the label of what was in it."""
    if len(raw) > MAX_TEXT_BYTES:
        raise BodyTooLargeError(f"body: expected at most {MAX_TEXT_BYTES} bytes of text")
    if (data := _form_field(raw, b"data=")) is not None:
        return unquote_to_bytes(data.replace(b"+", b" ")), _form_label(raw) or label
    if not _is_base64(raw):
        return raw, label
    if label in _LZ_LABELS:
        # LZ-string may end within a group of four that no base64 could end in.
        return lz_string.decompress(_from_base64(raw, b"A"), max_bytes), ""
    return _from_base64(raw, b"="), label


def _begins_json(raw: bytes) -> bool:
    return raw[:_LOOKED_AT_BYTES].lstrip(_BEFORE_JSON)[:1] in (b"{", b"[")


def _form_field(raw: bytes, name: bytes) -> bytes | None:
    """Find a field of a form. No regular expression: it would look at every byte for itself."""
    start = 0 if raw.startswith(name) else raw.find(b"&" + name) + 1
    if not start and not raw.startswith(name):
        return None
    start += len(name)
    end = raw.find(b"&", start)
    return raw[start:] if end < 0 else raw[start:end]


def _form_label(raw: bytes) -> str | None:
    field = _form_field(raw, b"compression=")
    named = None if field is None else _COMPRESSION.match(field)
    return named[0].decode() if named else None


def _is_base64(raw: bytes) -> bool:
    """Tell base64 of any dialect. No regular expression: spaces would have it try all again."""
    text = raw.rstrip(_SPACES).rstrip(b"=")
    return bool(text) and not text.translate(None, _BASE64)


def _from_base64(raw: bytes, padding: bytes) -> bytes:
    """Read any dialect of it: URL-safe, unpadded, plus signs that a form turned to spaces."""
    text = raw.translate(_BASE64_STANDARD, b"\r\n\t=")
    try:
        return binascii.a2b_base64(text + padding * (-len(text) % 4))
    except binascii.Error:
        raise InvalidRequestError("body: expected JSON or base64, got neither") from None


def _inflate_either(raw: bytes, max_bytes: int) -> bytes:
    """Inflate with or without zlib's header: both go by the name of deflate."""
    try:
        return _inflate(raw, zlib.MAX_WBITS, max_bytes)
    except InvalidRequestError:
        return _inflate(raw, -zlib.MAX_WBITS, max_bytes)


def _inflate(raw: bytes, window_bits: int, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(window_bits)
    try:
        inflated = inflater.decompress(raw, max_bytes + 1)
    except zlib.error as error:
        raise InvalidRequestError(f"body: expected gzip or deflate, got {error}") from None
    if len(inflated) > max_bytes:
        raise too_large(max_bytes)
    if not inflater.eof or inflater.unused_data:
        raise InvalidRequestError("body: expected one whole gzip or deflate stream, got a torn one")
    return inflated


def _from_gzip(raw: bytes, max_bytes: int) -> bytes:
    return _inflate(raw, 16 + zlib.MAX_WBITS, max_bytes)


def _from_zstd(raw: bytes, max_bytes: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW_BYTES)
    inflater = decompressor.decompressobj()
    try:
        # The other one has no bound, this one does not tell a torn stream.
        if len(decompressor.stream_reader(raw).read(max_bytes + 1)) > max_bytes:
            raise too_large(max_bytes)
        inflated: bytes = inflater.decompress(raw)
    except zstandard.ZstdError as error:
        raise InvalidRequestError(f"body: expected zstd, got {error}") from None
    if not inflater.eof or inflater.unused_data:
        raise InvalidRequestError("body: expected one whole zstd stream, got a torn one")
    return inflated


_MAGICS: Mapping[bytes, Callable[[bytes, int], bytes]] = {
    b"\x1f\x8b": _from_gzip,
    b"\x28\xb5\x2f\xfd": _from_zstd,
}


def _by_magic(raw: bytes) -> Callable[[bytes, int], bytes] | None:
    """Tell how to inflate bytes by how they begin."""
    return next((inflate for magic, inflate in _MAGICS.items() if raw.startswith(magic)), None)


def too_large(max_bytes: int) -> BodyTooLargeError:
    """Refuse a body of more than *max_bytes*."""
    return BodyTooLargeError(f"body: expected at most {max_bytes} bytes once inflated")
