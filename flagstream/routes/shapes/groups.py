"""Group types, groups and persons, as they are read and changed."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from flagstream.openapi import Body

from .common import Count, CursorPage, Properties, Time, TypeIndex

Name = Annotated[str, Meta(min_length=1, max_length=400)]


class GroupType(Struct, kw_only=True):
    """
    A group type.

    Attributes:
        default_columns: Names of the properties that lists of its groups show.
        detail_dashboard: Always null: there are none.
    """

    group_type: str
    group_type_index: TypeIndex
    name_singular: str | None
    name_plural: str | None
    detail_dashboard: None
    default_columns: list[str] | None
    created_at: Time


class GroupTypeChange(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a group type is to be called; what is not named stays."""

    group_type_index: TypeIndex
    name_singular: Name | UnsetType | None = UNSET
    name_plural: Name | UnsetType | None = UNSET
    default_columns: Annotated[list[Name], Meta(max_length=100)] | UnsetType | None = UNSET


class DefaultColumns(Struct, kw_only=True, forbid_unknown_fields=True):
    """Names of the properties that lists of a type's groups are to show."""

    group_type_index: TypeIndex
    default_columns: Annotated[list[Name], Meta(max_length=100)]


class RefusedGroupType(Struct):
    """A group type that came when all indexes were given."""

    group_type: str


class RefusedGroupTypes(Struct):
    """Group types that came when all indexes were given."""

    results: list[RefusedGroupType]


class Group(Struct, kw_only=True):
    """A group."""

    group_type_index: TypeIndex
    group_key: str
    group_properties: Properties
    created_at: Time


class Groups(CursorPage[Group]):
    """A page of groups."""


class FoundGroup(Group, kw_only=True):
    """
    A group that was asked for.

    Attributes:
        notebook: Always null: there are none.
    """

    notebook: None


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


class ChangedProperty(Struct):
    """
    A property that a change names.

    Attributes:
        action: `set_once` only counts where nothing was.
    """

    type: Literal["Group"]
    action: Literal["set", "set_once", "unset"]
    field: str
    after: Any


class GroupChangeDetail(Struct):
    """
    What a change says.

    Attributes:
        name: The group's key.
    """

    name: str
    changes: list[ChangedProperty]


class GroupChange(Struct, kw_only=True):
    """
    A change of a group.

    Attributes:
        event_uuid: Of the event that said so.
        user: Always null: there are no users.
        author: Always null: the key is not remembered.
    """

    id: str
    user: None
    author: None
    source: Literal["event", "api", "first_sight"]
    event_uuid: str | None
    activity: Literal["created", "updated"]
    scope: Literal["Group"]
    item_id: str
    detail: GroupChangeDetail
    created_at: Time


class GroupChanges(CursorPage[GroupChange]):
    """A page of the changes of a group, the newest first."""


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
