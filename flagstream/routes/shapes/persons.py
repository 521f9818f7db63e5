"""Persons."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .common import CursorPage, Properties, Time


class Person(Struct, kw_only=True):
    """
    A person.

    Attributes:
        id: The distinct id that stays.
        name: What it is called: by email, name, username, or by its id.
        distinct_ids: All that are known, of very many the first.
    """

    type: Literal["person"]
    id: str
    uuid: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    name: str
    distinct_ids: list[str]
    properties: Properties
    is_identified: bool
    created_at: Time


class Persons(CursorPage[Person]):
    """A page of persons."""
