"""What clients put on the wire: the only place, besides the routes, that knows its names."""

from .body import decode_body
from .flags import FlagsRequest, parse_flags_request

__all__ = ["FlagsRequest", "decode_body", "parse_flags_request"]
