"""Group types and groups, as they are read and named."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from .common import CursorPage, Name, Properties, Time, TypeIndex


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


class NewGroupType(Struct, forbid_unknown_fields=True):
    """A group type, by its name."""

    group_type: Name


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
