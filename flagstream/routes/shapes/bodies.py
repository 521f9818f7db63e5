"""What bodies may be written as besides JSON."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType


class Form(Struct, kw_only=True):
    """
    A form.

    Attributes:
        data: JSON, or what else a body may be, as base64.
        compression: Of what `data` holds.
    """

    data: Annotated[str, Meta(min_length=1)]
    compression: Literal["base64", "gzip", "gzip-js", "lz64"] | UnsetType = UNSET


FORM = {"application/x-www-form-urlencoded": Form}
"""By its media type, what every body may be written as that browsers send."""
