"""What stored groups and persons add up to: counted in steps, up to a bound."""

from .changes import change_of
from .preview import LISTS, PageOf, Preview, PreviewPage, PreviewTask
from .previews import Previews
from .properties import Tally, property_names, property_values
from .reach import Reach, reach
from .walk import MAX_EXAMINED

__all__ = [
    "LISTS",
    "MAX_EXAMINED",
    "PageOf",
    "Preview",
    "PreviewPage",
    "PreviewTask",
    "Previews",
    "Reach",
    "Tally",
    "change_of",
    "property_names",
    "property_values",
    "reach",
]
