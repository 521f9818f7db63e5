"""What requests read: state, definitions and progress, fed by a follower of the changelogs."""

from .catalog import StoredCatalog
from .progress import Watermarks
from .read_side import ReadSide
from .state import StoredState
from .store import ViewStore

__all__ = ["ReadSide", "StoredCatalog", "StoredState", "ViewStore", "Watermarks"]
