"""Changing definitions: the service behind the API, the console and the command line."""

from .rows import READ_ONLY, changed_row, iso_time, new_row
from .service import Management, find_flag

__all__ = ["READ_ONLY", "Management", "changed_row", "find_flag", "iso_time", "new_row"]
