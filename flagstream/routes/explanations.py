"""Why a flag answers a user as it does, for who holds the secret key."""

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Any, Literal

import msgspec
from aiohttp import web

from flagstream.errors import (
    InvalidFieldError,
    NotFoundError,
    UnavailableError,
    quote,
)
from flagstream.flags import CompiledFlags, explain, explanation_as, tests_of
from flagstream.management import iso_time
from flagstream.openapi import Answer, Body, described
from flagstream.ports import Project
from flagstream.state.access import Scope
from flagstream.wire import FlagsRequest, parse_flags_request

from . import keys
from .as_of import Moment, PastReading, moment_of
from .auth import caller_of, check_scope, project_of_key
from .bodies import read_object
from .flag_answers import Asked, FlagAnswers
from .origins import OriginsOf, WriteTimes
from .pages import API_ROOTS
from .responses import bytes_response, route
from .shapes import explanations as shapes

_EVERY_RUNTIME = "all"
_HIDDEN = ("stored", "server")
_Absence = Literal["disabled", "quota", "evaluation_runtime", "evaluation_contexts"]


@described(
    Answer(shapes.FlagExplanation),
    body=Body(shapes.ToExplain),
    access=Scope.FLAGS_READ,
)
async def explain_flag(request: web.Request) -> web.Response:
    """
    Explain what a flag answers to a user.

    The answer is that of ``/flags`` to the same request, also for what it says of payload and
    reason. Each condition is explained by itself, those as well that were not asked any more. Needs
    the scope ``groups:read`` besides; what is stored of the person is shown to who may read events.
    """
    check_scope(caller_of(request), Scope.GROUPS_READ)
    project = project_of_key(request)
    body = await read_object(request)
    key, asked = _flag_key(body), asked_by(body, project)
    moment = await moment_of(request, project, body.get("as_of"), [key])
    runtime = asked.evaluation_runtime or _EVERY_RUNTIME
    explaining = Explaining(moment, Asked(project.id, asked, moment.now_ms, runtime))
    partitions = request.app[keys.SETTINGS].partitions
    explained = await explaining.explained(key, WriteTimes(request.app[keys.READER], partitions))
    if not caller_of(request).allows(Scope.EVENTS_READ):
        hide_person(explained)
    return bytes_response(msgspec.json.encode(explained))


def _flag_key(body: Mapping[str, Any]) -> str:
    key = body.get("flag_key")
    if not isinstance(key, str) or not key:
        raise InvalidFieldError("flag_key", "the key of a flag", key)
    return key


def asked_by(body: Mapping[str, Any], project: Project) -> FlagsRequest:
    """
    Read a body that says of whom flags are asked, as that of ``/flags``.

    Raises:
        InvalidRequestError: Naming the field; also where ``/flags`` would pass over it.
    """
    if body.get("distinct_id") in ("", None):
        raise InvalidFieldError("distinct_id", "the id of a user", body.get("distinct_id"))
    if not isinstance(body.get("groups") or {}, dict):
        raise InvalidFieldError("groups", "an object of group keys by type", body["groups"])
    return parse_flags_request({**body, "token": project.token}, {})


def hide_person(explained: shapes.FlagExplanation) -> None:
    """Leave out what is stored of the person, for who may not read it."""
    explained.person.distinct_ids = []
    for group in explained.groups:
        group.distinct_id = group.session_id = group.remembered_at = None
    for rollout in (each.rollout for each in explained.conditions if each.rollout is not None):
        if rollout.identified_by == "first_distinct_id":
            rollout.identifier = None
    of_conditions = (each for condition in explained.conditions for each in condition.filters)
    of_cohorts = (each.filters for each in explained.cohorts if each.filters is not None)
    for test in chain(of_conditions, chain.from_iterable(map(tests_of, of_cohorts))):
        origin = test.origin
        if test.group_type is None and origin is not None and origin.source in _HIDDEN:
            test.seen, test.note = None, "what is stored of persons needs the scope events:read"
    enrollment = explained.enrollment
    if enrollment is not None and enrollment.origin.source in _HIDDEN:
        enrollment.seen = None


class Explaining:
    """One request for an explanation."""

    def __init__(self, moment: Moment, asked: Asked) -> None:
        self._moment = moment
        self._view = moment.view
        self._snapshot = moment.snapshot
        self._asked = asked
        self._request: FlagsRequest = asked.request

    async def explained(self, key: str, times: WriteTimes) -> shapes.FlagExplanation:
        """
        Explain a flag.

        Raises:
            NotFoundError: There is no flag of this key.
            UnavailableError: What is stored cannot be read now.
        """
        flags, absence = self._flags(key)
        reading = self._moment.reading(self._asked)
        groups = reading.groups(flags)
        context = reading.context(flags, groups)
        unknown = reading.unknown if isinstance(reading, PastReading) else {}
        if reading.unread.keys() - unknown.keys():
            raise UnavailableError("What is stored cannot be read.", retry_after_s=1)
        origins = OriginsOf(self._view, self._asked.project_id, self._request, context, unknown)
        explanation = explain(self._snapshot.project, flags, key, context, origins)
        await origins.tell_times(times)
        if unknown and absence != "disabled":
            answers = reading.failing(flags, flags.answers(context, [key]))
            explanation = explanation_as(explanation, answers[0])
        return shapes.FlagExplanation(
            **msgspec.structs.asdict(explanation),
            is_answered=absence is None,
            absence=absence,
            groups=list(self._groups(flags.group_types_of(key), groups)),
            person=self._person(),
            as_of=self._as_of(groups, unknown),
        )

    def _flags(self, key: str) -> tuple[CompiledFlags, _Absence | None]:
        """Pick the flags as whoever asks sees them, and tell why this one is not among them."""
        everything, project = self._snapshot.flags, self._snapshot.project
        if key in project.disabled:
            return everything, "disabled"
        if key not in everything.keys:
            raise NotFoundError(f"There is no flag {quote(key)}.")
        visible = FlagAnswers.visible(self._snapshot, self._asked)
        if key not in visible.keys:
            is_hidden_by_runtime = key not in everything.visible(self._asked.runtime, ()).keys
            return everything, (
                "evaluation_runtime" if is_hidden_by_runtime else "evaluation_contexts"
            )
        return visible, "quota" if self._snapshot.settings.is_quota_limited else None

    def _groups(
        self, looked_at: frozenset[str], groups: Mapping[str, str]
    ) -> Iterator[shapes.SeenGroup]:
        """Tell of each type that the flag looks at where its group was taken from."""
        remembered = None
        if self._snapshot.settings.remember_active_groups:
            remembered = self._view.remembered(
                self._asked.project_id,
                self._request.distinct_id,
                self._request.session_id,
                self._asked.now_ms,
            )
        for group_type in sorted(looked_at):
            group_key = groups.get(group_type)
            if group_key is None:
                yield shapes.SeenGroup(
                    group_type=group_type, group_key=None, source="missing", is_known=False
                )
                continue
            seen = shapes.SeenGroup(
                group_type=group_type,
                group_key=group_key,
                source="request",
                is_known=self._is_known(group_type, group_key),
            )
            if group_type not in self._request.groups and remembered is not None:
                seen.source = "memory"
                seen.distinct_id = remembered.distinct_id
                seen.session_id = remembered.session_id
                seen.remembered_at = iso_time(remembered.time_ms)
            yield seen

    def _as_of(
        self, groups: Mapping[str, str], unknown: Mapping[str, Collection[str]]
    ) -> shapes.AsOf | None:
        if self._moment.as_of_ms is None:
            return None
        return shapes.AsOf(
            time=iso_time(self._moment.as_of_ms),
            present=["person", "active_groups", "cohort_members"],
            unknown=[
                shapes.UnknownProperty(
                    group_type=group_type, group_key=groups[group_type], property=name
                )
                for group_type, names in unknown.items()
                for name in sorted(names)
            ],
        )

    def _is_known(self, group_type: str, group_key: str) -> bool:
        return self._view.group(self._asked.project_id, group_type, group_key) is not None

    def _person(self) -> shapes.SeenPerson:
        distinct_id = self._request.distinct_id
        person = self._view.person(self._asked.project_id, distinct_id)
        return shapes.SeenPerson(
            distinct_id=distinct_id,
            is_known=person is not None,
            distinct_ids=[] if person is None else list(person.distinct_ids),
        )


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in route("POST", f"{root}/flags/explain", explain_flag)
)
