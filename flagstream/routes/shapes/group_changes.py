"""Groups, as they are made and changed."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from flagstream.openapi import Body

from .common import Name, Properties, TypeIndex


class NewGroup(Struct, kw_only=True):
    """A group that is to be made."""

    group_type_index: TypeIndex
    group_key: Name | float
    group_properties: Properties | UnsetType | None = UNSET


NEW_GROUP = Body(
    NewGroup,
    example={"group_type_index": 0, "group_key": "acme", "group_properties": {"plan": "gold"}},
)


class PropertyChange(Struct):
    """
    A property that is to be set.

    Attributes:
        key: Its name.
        value: Anything but null.
    """

    key: Annotated[str, Meta(min_length=1)]
    value: Annotated[Any, Meta(extra_json_schema={"not": {"type": "null"}})]


class PropertyRemoval(Struct):
    """
    A property that is to be removed.

    Attributes:
        $unset: Its name.
    """

    unset: str = field(name="$unset")


class GroupLine(Struct, kw_only=True):
    """
    One line: a group, and what is to become of its properties.

    Attributes:
        group_properties: That are set.
        set_once: That are set only where nothing is.
        unset: Names of those that are removed.
    """

    group_type: Name
    group_key: Name | float
    group_properties: Properties | UnsetType | None = UNSET
    set_once: Properties | UnsetType | None = UNSET
    unset: list[str] | Properties | UnsetType | None = UNSET


LINES = Body(
    GroupLine,
    media="application/x-ndjson",
    example={
        "group_type": "organization",
        "group_key": "acme",
        "group_properties": {"plan": "gold"},
    },
)


class LineAnswer(Struct, kw_only=True):
    """
    What became of a line.

    Attributes:
        line: From 1.
        result: `ok` is durable; `retry` was perhaps not kept, and can be sent again.
        field: What was wrong.
    """

    line: int
    result: Literal["ok", "error", "retry"]
    field: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET
