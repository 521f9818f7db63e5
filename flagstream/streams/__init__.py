"""Who is told at once that answers have changed, over connections that stay open."""

from .connections import Connection, Connections
from .events import HEARTBEAT
from .feed import ChangeFeed
from .streams import Streams
from .watches import Sight, Watch

__all__ = [
    "HEARTBEAT",
    "ChangeFeed",
    "Connection",
    "Connections",
    "Sight",
    "Streams",
    "Watch",
]
