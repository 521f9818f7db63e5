"""What flags answer to one user, and whom a condition matches, as who manages them sees it."""

from msgspec import UNSET, Struct, UnsetType

from flagstream.flags.evaluation import Reason
from flagstream.flags.model import Condition

from .common import Count, TypeIndex
from .management import Flag


class FlagValue(Struct):
    """
    A flag, and what it is for a user.

    Attributes:
        value: The variant, or whether it is on.
    """

    feature_flag: Flag
    value: str | bool


class Why(Struct):
    """
    Why a flag is what it is.

    Attributes:
        condition_index: From 0.
        description: For people.
    """

    reason: Reason
    condition_index: Count | None
    description: str


class ValueReason(Struct):
    """
    What a flag is for a user, and why.

    Attributes:
        value: The variant, or whether it is on.
    """

    value: str | bool
    evaluation: Why


class ReachOf(Struct, kw_only=True):
    """
    A condition, of which its rollout does not count.

    Attributes:
        group_type_index: The type of the groups that are counted; null for persons.
    """

    condition: Condition
    group_type_index: TypeIndex | UnsetType | None = UNSET


class Reach(Struct, kw_only=True):
    """
    How many a condition matches.

    Attributes:
        affected: How many of those that were looked at.
        total: How many were looked at.
        is_complete: All there are were looked at.
        users_affected: `affected`, as PostHog spells it.
        total_users: `total`, likewise.
    """

    affected: Count
    total: Count
    is_complete: bool
    users_affected: Count
    total_users: Count
