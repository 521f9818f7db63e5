"""What clients put on the wire: the only place, besides the routes, that knows its names."""

from .body import decode_body, too_large, unwrap_body
from .capture import TOKEN_NAMES, Captured, Rejection, parse_capture, rejection
from .capture_v1 import CaptureHeaders, parse_capture_v1, results
from .events import CapturedEvent, Merge, MergeRule, PersonChange, flattened
from .flags import FlagsRequest, parse_flags_request
from .groups import GroupChange, GroupLine, group_change, group_lines
from .json_text import brackets, decoded_bytes
from .json_text import loads as load_json
from .losses import EventLimits, Loss, OverLimitError
from .plain_flags import read_flags_request
from .runtime import request_runtime
from .times import unix_ms

__all__ = [
    "TOKEN_NAMES",
    "CaptureHeaders",
    "Captured",
    "CapturedEvent",
    "EventLimits",
    "FlagsRequest",
    "GroupChange",
    "GroupLine",
    "Loss",
    "Merge",
    "MergeRule",
    "OverLimitError",
    "PersonChange",
    "Rejection",
    "brackets",
    "decode_body",
    "decoded_bytes",
    "flattened",
    "group_change",
    "group_lines",
    "load_json",
    "parse_capture",
    "parse_capture_v1",
    "parse_flags_request",
    "read_flags_request",
    "rejection",
    "request_runtime",
    "results",
    "too_large",
    "unix_ms",
    "unwrap_body",
]
