"""The group types of one project: five indexes, given at first sight and never reused."""

from flagstream.limits import MAX_GROUP_TYPES

from .records import Record, State

MAX_TYPES = MAX_GROUP_TYPES
MAX_REFUSED = 100


class GroupTypeClaim(Record, frozen=True):
    """A type was seen that had no index yet."""

    group_type: str
    time_ms: int


class GroupType(Record, frozen=True):
    """
    A type with its index.

    Attributes:
        index: ``range(5)``; the column ``$group_<index>`` of an event.
        version: Of the claim that got it.
    """

    group_type: str
    index: int
    created_at_ms: int
    version: int


class GroupTypesState(State, frozen=True):
    """
    All types of a project, by index.

    Attributes:
        refused: Version of the first claim of each type that came when all indexes were given;
            the first :data:`MAX_REFUSED` of them.
    """

    types: list[GroupType] = []
    refused: dict[str, int] = {}

    def index_of(self, group_type: str) -> int | None:
        """Read the index of a type."""
        return next((t.index for t in self.types if t.group_type == group_type), None)


def fold_group_type(
    state: GroupTypesState | None, claim: GroupTypeClaim, version: int
) -> GroupTypesState:
    """
    Allot the next index, or note that there was none left.

    A project's claims are all in one partition and are folded in its order by one owner; that is
    why an index is never given twice.

    Returns:
        *state* itself where the claim is already decided.
    """
    if state is None:
        state = GroupTypesState(version=version)
    if state.index_of(claim.group_type) is not None or claim.group_type in state.refused:
        return state
    if len(state.types) == MAX_TYPES:
        return _refuse(state, claim, version)
    allotted = GroupType(
        group_type=claim.group_type,
        index=len(state.types),
        created_at_ms=claim.time_ms,
        version=version,
    )
    return GroupTypesState(version=version, types=[*state.types, allotted], refused=state.refused)


def _refuse(state: GroupTypesState, claim: GroupTypeClaim, version: int) -> GroupTypesState:
    if len(state.refused) == MAX_REFUSED:
        return state
    refused = {**state.refused, claim.group_type: version}
    return GroupTypesState(version=version, types=state.types, refused=refused)


def join_group_types(ours: GroupTypesState, theirs: GroupTypesState) -> GroupTypesState:
    """
    Join two states of one project.

    Claims are folded in one order, so one state is always a prefix of the other.
    """
    return theirs if theirs.version > ours.version else ours
