"""
Definitions in other formats, read and written. Pure.

Whatever the formats do not share is refused by name; nothing is taken over as something else.
"""

from .flagd import read_flagd
from .flagd_export import write_flagd
from .goff import read_goff
from .outcome import Exported, Imported, Refusal, Source, Target, Translated
from .posthog import read_posthog
from .posthog_export import write_posthog

__all__ = [
    "Exported",
    "Imported",
    "Refusal",
    "Source",
    "Target",
    "Translated",
    "read_flagd",
    "read_goff",
    "read_posthog",
    "write_flagd",
    "write_posthog",
]
