"""By which address clients reach the server, where trusted proxies are between."""

import re
from collections.abc import Collection

from aiohttp import hdrs, web
from yarl import URL

from flagstream.errors import InvalidFieldError
from flagstream.settings import Network

from . import keys
from .connections import is_within

_SCHEMES = ("http", "https")
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


def public_url(request: web.Request) -> URL:
    """
    Read the address that a client asked for, as it wrote it.

    Raises:
        InvalidFieldError: The host is none.
    """
    scheme, host = request.scheme, request.headers.get(hdrs.HOST, "")
    if _is_forwarded(request, request.app[keys.SETTINGS].trusted_proxies):
        named = _last(request, hdrs.X_FORWARDED_PROTO).lower()
        scheme = named if named in _SCHEMES else scheme
        host = _last(request, hdrs.X_FORWARDED_HOST) or host
    if not host:  # of HTTP/1.0, which may leave it out
        return request.rel_url
    try:
        if _HOST.fullmatch(host):
            return URL.build(scheme=scheme, authority=host).join(request.rel_url)
    except ValueError:  # a port that is too high
        pass
    raise InvalidFieldError("Host", "a name or address, with a port or without", host)


def _is_forwarded(request: web.Request, proxies: Collection[Network]) -> bool:
    peername = request.transport and request.transport.get_extra_info("peername")
    return isinstance(peername, tuple) and is_within(str(peername[0]), proxies)


def _last(request: web.Request, header: str) -> str:
    """Read what the nearest proxy has said; what stands before it anybody may have written."""
    return request.headers.get(header, "").rpartition(",")[2].strip()
