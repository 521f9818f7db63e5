"""How it was: a time that requests name, and what was stored then."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from flagstream.errors import InvalidFieldError
from flagstream.flags import CompiledFlags, EvaluationContext
from flagstream.management import iso_time, snapshot_at
from flagstream.openapi import Parameter
from flagstream.ports import (
    EvaluationView,
    GroupHistory,
    Person,
    Project,
    ProjectSnapshot,
    PropertyWrite,
    Remembered,
)
from flagstream.slices import in_slices
from flagstream.state.groups import GroupState
from flagstream.state.kept import GroupThen
from flagstream.wire import unix_ms

from . import keys
from .flag_answers import Asked, Reading

_RELATIVE = re.compile(r"-(\d{1,6})([mhdw])", re.ASCII)
_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_EXPECTED = "a time in ISO 8601, or one relative to now as -7d"
AS_OF = Parameter(
    name="as_of",
    shape=str,
    text="A time in ISO 8601, or relative to now as `-7d`: definitions and groups as they were.",
)


def as_of_ms(text: Any, history: GroupHistory, now_ms: int) -> int | None:
    """
    Read the time that a request names; None where it names none.

    Raises:
        InvalidFieldError: It is none, or lies in the future or before all that is kept.
    """
    if text is None:
        return None
    relative = _RELATIVE.fullmatch(text) if isinstance(text, str) else None
    if relative is not None:
        time_ms: int | None = now_ms - int(relative[1]) * _UNIT_MS[relative[2]]
    else:
        time_ms = unix_ms(text)
    if time_ms is None:
        raise InvalidFieldError("as_of", _EXPECTED, text)
    oldest_ms = history.oldest_ms()
    if not oldest_ms <= time_ms <= now_ms:
        between = f"a time from {iso_time(oldest_ms)}, the oldest that is kept, until now"
        raise InvalidFieldError("as_of", between, text)
    return time_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """
    What there is at the time that a request is about.

    Attributes:
        as_of_ms: None for the present.
        now_ms: The time, for whatever depends on it.
    """

    view: EvaluationView
    snapshot: ProjectSnapshot
    now_ms: int
    as_of_ms: int | None = None

    def reading(self, asked: Asked) -> Reading:
        """Begin to read what is stored of whoever asks."""
        if isinstance(self.view, PastView):
            return PastReading(self.view, self.snapshot, asked)
        return Reading(self.view, self.snapshot, asked)


async def moment_of(
    request: web.Request, project: Project, text: Any, flag_keys: Collection[str] | None = None
) -> Moment:
    """
    Find out what there is at the time that a request names, or now.

    Args:
        flag_keys: Of the flags that are wanted; None is all.

    Raises:
        InvalidFieldError: It cannot be told how it was then.
        UnavailableError: It cannot be told yet.
    """
    app = request.app
    view, snapshot, now_ms = (
        app[keys.VIEW],
        app[keys.CATALOG].project(project.id),
        app[keys.CLOCK_MS](),
    )
    time_ms = None if text is None else as_of_ms(text, app[keys.HISTORY], now_ms)
    if time_ms is None:
        return Moment(view=view, snapshot=snapshot, now_ms=now_ms)
    then = await in_slices(snapshot_at(view, project.id, snapshot, time_ms, flag_keys))
    past = PastView(view=view, history=app[keys.HISTORY], time_ms=time_ms, now_ms=now_ms)
    return Moment(view=past, snapshot=then, now_ms=time_ms, as_of_ms=time_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastView:
    """
    State with groups as they were; persons, and what is remembered of sessions, as they are.

    Implements :class:`flagstream.ports.EvaluationView`.
    """

    view: EvaluationView
    history: GroupHistory
    time_ms: int
    now_ms: int
    _groups: dict[tuple[int, str, str], GroupThen] = field(
        default_factory=dict[tuple[int, str, str], GroupThen]
    )

    def then(self, project_id: int, group_type: str, group_key: str) -> GroupThen:
        """Tell how a group was, and what of it cannot be told."""
        place = (project_id, group_type, group_key)
        if place not in self._groups:
            present = self.view.group(*place)
            self._groups[place] = self.history.group_at(place, self.time_ms, present)
        return self._groups[place]

    def group(self, project_id: int, group_type: str, group_key: str) -> GroupState | None:
        """Read one group; None where it was not known."""
        return self.then(project_id, group_type, group_key).state

    def group_properties(
        self, project_id: int, group_type: str, group_key: str
    ) -> Mapping[str, Any] | None:
        """Read the properties that were set; None where it was not known."""
        state = self.group(project_id, group_type, group_key)
        return None if state is None else state.values()

    def active_groups(
        self,
        project_id: int,
        distinct_id: str,
        session_id: str | None,
        now_ms: int,  # noqa: ARG002 -- of the present
    ) -> Mapping[str, str]:
        """Read what is remembered now."""
        return self.view.active_groups(project_id, distinct_id, session_id, self.now_ms)

    def remembered(
        self,
        project_id: int,
        distinct_id: str,
        session_id: str | None,
        now_ms: int,  # noqa: ARG002 -- likewise
    ) -> Remembered | None:
        """Tell where that comes from."""
        return self.view.remembered(project_id, distinct_id, session_id, self.now_ms)

    def person(self, project_id: int, distinct_id: str) -> Person | None:
        """Read the person as it is now."""
        return self.view.person(project_id, distinct_id)

    def person_write(self, project_id: int, distinct_id: str, name: str) -> PropertyWrite | None:
        """Tell where that has a property from."""
        return self.view.person_write(project_id, distinct_id, name)


class PastReading(Reading):
    """
    What was stored of whoever asks.

    Attributes:
        unknown: By type, the properties of its group that cannot be told any more.
    """

    unread_text = "What was stored then is not known any more"

    def __init__(self, view: PastView, snapshot: ProjectSnapshot, asked: Asked) -> None:
        super().__init__(view, snapshot, asked)
        self._past = view
        self.unknown: dict[str, Collection[str]] = {}

    def context(self, flags: CompiledFlags, groups: Mapping[str, str]) -> EvaluationContext:
        """Read all that some flags look at."""
        context = super().context(flags, groups)
        for group_type, names in flags.group_names.items():
            if group_type in groups:
                then = self._past.then(self._project_id, group_type, groups[group_type])
                given = self._request.group_properties.get(group_type, {})
                unknown = (then.unknown - given.keys()) & names
                if unknown:
                    self.unknown[group_type] = unknown
                    self.unread[group_type] = names - unknown
        return context
