"""What requests read: state, definitions and progress, fed by a follower of the changelogs."""

from .catalog import StoredCatalog
from .group_history import KeptHistory
from .kept_groups import KeptGroups, KeptReplica, kept_options, kept_path, kept_states
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
    "KeptGroups",
    "KeptHistory",
    "KeptReplica",
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
    "kept_options",
    "kept_path",
    "kept_states",
    "open_store",
    "views_path",
]
