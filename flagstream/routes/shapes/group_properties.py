"""Which properties groups have, and which values."""

from msgspec import UNSET, Struct, UnsetType, field

from .common import Count


class Frequency(Struct):
    """How often something was found."""

    name: str
    count: Count


_OF_TYPE = list[Frequency] | UnsetType


class PropertyNames(Struct, kw_only=True):
    """
    The properties that groups have, the most frequent first, by the index of their type.

    Attributes:
        examined: In how many groups was looked, likewise.
        is_complete: In all there are.
    """

    type_0: _OF_TYPE = field(default=UNSET, name="0")
    type_1: _OF_TYPE = field(default=UNSET, name="1")
    type_2: _OF_TYPE = field(default=UNSET, name="2")
    type_3: _OF_TYPE = field(default=UNSET, name="3")
    type_4: _OF_TYPE = field(default=UNSET, name="4")
    examined: dict[str, Count]
    is_complete: bool


class PropertyValues(Struct, kw_only=True):
    """
    The values of a property, the most frequent first.

    Attributes:
        refreshing: Always false.
        examined: In how many groups was looked.
        is_complete: In all there are.
    """

    results: list[Frequency]
    refreshing: bool
    examined: Count
    is_complete: bool
