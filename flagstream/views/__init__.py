"""What requests read: state, definitions and progress, fed by a follower of the changelogs."""

from .catalog import StoredCatalog
from .peers import Peers
from .progress import Watermarks
from .read_side import ReadSide
from .state import StoredState
from .store import ViewStore
from .swapping import SPARED_THRESHOLD

__all__ = [
    "SPARED_THRESHOLD",
    "Peers",
    "ReadSide",
    "StoredCatalog",
    "StoredState",
    "ViewStore",
    "Watermarks",
]
