"""Changes of groups."""

from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

from .common import CursorPage, Time

P = TypeVar("P")


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


class ChangeDetail(Struct, Generic[P]):
    """
    What a change says.

    Attributes:
        name: The group's key.
    """

    name: str
    changes: list[P]


class Change(Struct, Generic[P], kw_only=True):
    """
    A change of a group.

    Attributes:
        event_uuid: Of the event that said so.
        user: Always null: there are no users.
        author: Always null: the key is not remembered.
        created_at: When it was so.
    """

    id: str
    user: None
    author: None
    source: Literal["event", "api", "first_sight"]
    event_uuid: str | None
    activity: Literal["created", "updated"]
    scope: Literal["Group"]
    item_id: str
    detail: ChangeDetail[P]
    created_at: Time


class GroupChange(Change[ChangedProperty]):
    """A change of a group, as the log has it."""


class GroupChanges(CursorPage[GroupChange]):
    """A page of the changes of a group, the newest first."""


class KeptProperty(ChangedProperty, kw_only=True):
    """
    A property that an update changed.

    Attributes:
        before: Null also where it was not set.
        is_before_known: False where what was there comes from before all that is kept.
    """

    before: Any
    is_before_known: bool


class KeptChange(Change[KeptProperty], kw_only=True):
    """
    A change of a group, as it took effect.

    Attributes:
        ingested_at: When the log had it; from then on it counted.
    """

    ingested_at: Time


class GroupHistory(CursorPage[KeptChange]):
    """A page of what became of a group, the newest first."""
