"""What requests read: state, definitions and progress, fed by a follower of the changelogs."""

from .catalog import StoredCatalog
from .merging import Merge
from .peers import Peers
from .progress import Marks, Watermarks
from .read_side import FollowedViews, Readers, ReadSide, open_store, views_path
from .sightings import SeenEvents, SeenReplica
from .state import StoredState
from .store import ViewReader, ViewReplica, ViewStore
from .swapping import SPARED_THRESHOLD

__all__ = [
    "SPARED_THRESHOLD",
    "FollowedViews",
    "Marks",
    "Merge",
    "Peers",
    "ReadSide",
    "Readers",
    "SeenEvents",
    "SeenReplica",
    "StoredCatalog",
    "StoredState",
    "ViewReader",
    "ViewReplica",
    "ViewStore",
    "Watermarks",
    "open_store",
    "views_path",
]
