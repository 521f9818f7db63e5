"""Previews of changed flags."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from flagstream.census.preview import ListName
from flagstream.flags.model import Filters

MAX_NAMES = 1_000
_Limit = Annotated[int, Meta(ge=1, le=MAX_NAMES)]


class ToPreview(Struct, kw_only=True):
    """
    A flag as it would be written: of one that there is, its other members stay.

    Attributes:
        list: Only a page of this list is wanted.
        after: The name behind which the page begins.
        limit: How many names a list has at most; 100 where it is not given.
    """

    key: str
    filters: Filters | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    list: ListName | UnsetType | None = UNSET
    after: str | UnsetType | None = UNSET
    limit: _Limit | UnsetType = UNSET
