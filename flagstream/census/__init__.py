"""What stored groups and persons add up to: counted in steps, up to a bound."""

from .properties import Tally, property_names, property_values
from .reach import Reach, reach
from .walk import MAX_EXAMINED

__all__ = ["MAX_EXAMINED", "Reach", "Tally", "property_names", "property_values", "reach"]
