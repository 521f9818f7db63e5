"""Changing definitions: the service behind the API, the console and the command line."""

from .rows import READ_ONLY, iso_time
from .service import Management, find_flag

__all__ = ["READ_ONLY", "Management", "find_flag", "iso_time"]
