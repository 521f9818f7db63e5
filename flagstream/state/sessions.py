"""The active groups of one session, kept apart by the distinct id that carried them."""

from .records import Record, State

MAX_IDS = 16


class ActiveGroups(Record, frozen=True, array_like=True):
    """
    The whole map that one distinct id carried last: ``[time_ms, version, {type: key}]``.

    Apart by distinct id because a browser can be handed over within a session: the next user's
    organization must never answer for the first.
    """

    time_ms: int
    version: int
    groups: dict[str, str]

    @property
    def order(self) -> tuple[int, int]:
        """Later is truer; ties of the event's time go by the order of ingestion."""
        return (self.time_ms, self.version)


class SessionUpdate(Record, frozen=True):
    """
    A change of a session's active groups, or its expiry.

    Attributes:
        time_ms: Corrected time of the event, at most the time of receipt.
        groups: The whole map; ``{}`` means that all groups were left.
        is_expiry: Forget the session unless something newer than *time_ms* is known.
    """

    time_ms: int
    distinct_id: str = ""
    groups: dict[str, str] = {}
    is_expiry: bool = False


class SessionState(State, frozen=True):
    """Active groups by distinct id; the latest :data:`MAX_IDS` ids of the session."""

    maps: dict[str, ActiveGroups]


def fold_session(
    state: SessionState | None, update: SessionUpdate, version: int
) -> SessionState | None:
    """
    Fold one update in.

    Returns:
        *state* itself where the update changes nothing; None once expired.
    """
    if update.is_expiry:
        return _unless_older(state, update.time_ms)
    active = ActiveGroups(time_ms=update.time_ms, version=version, groups=update.groups)
    seen = SessionState(version=version, maps={update.distinct_id: active})
    return seen if state is None else join_sessions(state, seen)


def _unless_older(state: SessionState | None, time_ms: int) -> SessionState | None:
    if state is None or all(active.time_ms <= time_ms for active in state.maps.values()):
        return None
    return state


def join_sessions(ours: SessionState, theirs: SessionState) -> SessionState:
    """Join two states of one session; *ours* itself where *theirs* brings nothing."""
    maps = dict(ours.maps)
    for distinct_id, active in theirs.maps.items():
        known = maps.get(distinct_id)
        if known is None or active.order > known.order:
            maps[distinct_id] = active
    if len(maps) > MAX_IDS:
        maps = dict(sorted(maps.items(), key=lambda entry: (entry[1].order, entry[0]))[-MAX_IDS:])
    if maps == ours.maps:
        return ours
    return SessionState(version=max(active.version for active in maps.values()), maps=maps)
