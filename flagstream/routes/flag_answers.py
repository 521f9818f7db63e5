"""From what a flag request names and what is remembered to the evaluations of its flags."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from flagstream.errors import UnavailableError
from flagstream.flags import (
    CompiledFlags,
    Evaluation,
    EvaluationContext,
    group_properties,
    person_properties,
)
from flagstream.ingest import Continuity
from flagstream.ports import Catalog, Person, Projects, ProjectSnapshot, StateView, Warnings
from flagstream.rates import RateLimit
from flagstream.telemetry import FILLED_FLAG_REQUESTS
from flagstream.wire import FlagsRequest

from .position import CatchUp
from .ready_answers import Answer, Answers, ReadyAnswers, answer_of, given
from .tallies import EVALUATIONS, tally_of

_NOTHING: Mapping[str, Any] = {}
# Equal values of these types are alike in every test; 1.0 and 1, or True and 1, are not.
_COMPARABLE = (str, int, bool, type(None))


class Asked(NamedTuple):
    """
    A flag request, and when and from where it came.

    Attributes:
        runtime: ``server``, ``client`` or ``all``; None where that is not known.
    """

    project_id: int
    request: FlagsRequest
    now_ms: int
    runtime: str | None = None


class FlagAnswers:
    """Evaluates flag requests; reads each needed group and person once, and never awaits."""

    def __init__(self, catalog: Catalog, view: StateView) -> None:
        self._catalog = catalog
        self._view = view
        self._ready = ReadyAnswers()

    def evaluate(self, asked: Asked) -> Sequence[Evaluation]:
        """
        Evaluate the flags that are asked for.

        Where something that is stored cannot be read now, the flags that need it fail, and the
        others are answered.
        """
        if asked.request.disable_flags:
            return ()
        snapshot = self._catalog.project(asked.project_id)
        flags = self.visible(snapshot, asked)
        evaluations = _Reading(self._view, snapshot, asked).answers(flags)
        EVALUATIONS.given(tally_of(asked.project_id, evaluations))
        return evaluations

    def evaluate_all(self, asked: Asked) -> Sequence[Evaluation]:
        """Evaluate all active flags, whoever may see them; likewise, but nobody counts these."""
        snapshot = self._catalog.project(asked.project_id)
        return _Reading(self._view, snapshot, asked).answers(snapshot.flags)

    def v2(self, asked: Asked) -> tuple[Sequence[bytes], bool]:
        """
        Answer in the shape of version 2, as far as possible with what is ready.

        Returns:
            The members of the object ``flags``, and whether one of the flags could not be judged.
        """
        request = asked.request
        if request.disable_flags or request.flag_keys is not None:
            return self._made_v2(asked)
        try:
            parts = self._ready_v2(asked)
        except UnavailableError:
            return self._made_v2(asked)
        return given(parts)

    def _made_v2(self, asked: Asked) -> tuple[Sequence[bytes], bool]:
        answers = self.evaluate(asked)
        return [each.v2 for each in answers], any(each.failed for each in answers)

    @staticmethod
    def visible(snapshot: ProjectSnapshot, asked: Asked) -> CompiledFlags:
        """Pick the flags that whoever asks may see."""
        return snapshot.flags.visible(asked.runtime, asked.request.evaluation_contexts)

    def _ready_v2(self, asked: Asked) -> Sequence[Answer]:
        snapshot = self._catalog.project(asked.project_id)
        flags = self.visible(snapshot, asked)
        reading = _Reading(self._view, snapshot, asked)
        groups, ready = reading.groups(flags), self._ready.of(flags)
        parts = [
            self._of_group(ready, flags, group_type, groups.get(group_type), asked)
            for group_type in flags.group_types
        ]
        of_person, others = flags.person_flags, flags.other_flags
        if of_person.keys:
            parts.append(self._of_person(ready, of_person, reading, asked))
        if others.keys:
            answers = others.answers(reading.context(others, groups))
            parts.append(answer_of(asked.project_id, answers))
        if reading.unread:
            raise UnavailableError("The state cannot be read at the moment.")
        return parts

    def _of_group(
        self,
        ready: Answers,
        flags: CompiledFlags,
        group_type: str,
        group_key: str | None,
        asked: Asked,
    ) -> Answer:
        """Answer the flags that look at one group and nothing else."""
        stored: Mapping[str, Any] | None = None
        named, given = _NOTHING, b""
        if group_key is not None:
            stored = self._view.group_properties(asked.project_id, group_type, group_key)
            named = asked.request.group_properties.get(group_type) or _NOTHING
            if named and not _are_known(named, stored or _NOTHING):
                given = orjson.dumps(named)
        place = (group_type, group_key, given)
        kept = ready.get(place)
        if kept is not None and kept[0] is stored:
            return kept[1]
        context = _group_context(flags, group_type, group_key, (stored or _NOTHING, named))
        answer = answer_of(asked.project_id, flags.group_flags(group_type).answers(context))
        return self._ready.keep(ready, place, stored, answer)

    def _of_person(
        self, ready: Answers, flags: CompiledFlags, reading: "_Reading", asked: Asked
    ) -> Answer:
        """Answer the flags that look at the person and nothing else."""
        request, stored = asked.request, None
        if flags.needs_person:
            stored = self._view.person(asked.project_id, request.distinct_id)
        given = (request.person_properties, request.device_id, request.anon_distinct_id)
        place = (None, request.distinct_id, orjson.dumps(given))
        kept = ready.get(place)
        if kept is not None and kept[0] is stored:
            return kept[1]
        answers = flags.answers(reading.context(flags, _NOTHING))
        answer = answer_of(asked.project_id, answers)
        return self._ready.keep(ready, place, stored, answer)


class _Reading:
    """
    What is stored of whoever asks.

    Attributes:
        unread: What cannot be read now, by the group's type, or None for the person: the names of
            the properties that the request brings along; None where not even the group is known.
    """

    def __init__(self, view: StateView, snapshot: ProjectSnapshot, asked: Asked) -> None:
        self._view = view
        self._snapshot = snapshot
        self._project_id, self._request, self._now_ms, _ = asked
        self.unread: dict[str | None, Collection[str] | None] = {}

    def answers(self, flags: CompiledFlags) -> Sequence[Evaluation]:
        """Answer; what needs something that cannot be read fails, and nothing else."""
        context = self.context(flags, self.groups(flags))
        answers = flags.answers(context, self._request.flag_keys)
        return flags.failing(answers, self.unread) if self.unread else answers

    def groups(self, flags: CompiledFlags) -> Mapping[str, str]:
        """Fill the types that the request leaves out from the active groups of its user."""
        named = self._request.groups
        if not self._snapshot.settings.remember_active_groups or flags.group_types <= named.keys():
            return named
        try:
            remembered = self._view.active_groups(
                self._project_id,
                self._request.distinct_id,
                self._request.session_id,
                self._now_ms,
            )
        except UnavailableError:
            self.unread.update((name, None) for name in flags.group_types if name not in named)
            return named
        if remembered:
            FILLED_FLAG_REQUESTS.inc()
        return {**remembered, **named}

    def context(self, flags: CompiledFlags, groups: Mapping[str, str]) -> EvaluationContext:
        """Read all that some flags look at."""
        request = self._request
        person = self._person() if flags.needs_person else None
        return EvaluationContext(
            distinct_id=request.distinct_id,
            device_id=request.device_id,
            anon_distinct_id=request.anon_distinct_id,
            hash_keys=_NOTHING if person is None else person.hash_keys,
            distinct_ids=() if person is None else person.distinct_ids,
            groups=groups,
            person_properties=person_properties(
                _NOTHING if person is None else person.properties,
                request.person_properties,
                request.distinct_id,
                flags.person_names,
                None if person is None else person.created_at_ms,
            ),
            group_properties={
                group_type: group_properties(
                    self._group(group_type, groups[group_type]),
                    request.group_properties.get(group_type, _NOTHING),
                    groups[group_type],
                    names,
                )
                for group_type, names in flags.group_names.items()
                if group_type in groups
            },
            now_ms=self._now_ms,
        )

    def _person(self) -> Person | None:
        try:
            return self._view.person(self._project_id, self._request.distinct_id)
        except UnavailableError:
            self.unread[None] = {*self._request.person_properties, "distinct_id"}
            return None

    def _group(self, group_type: str, group_key: str) -> Mapping[str, Any]:
        try:
            stored = self._view.group_properties(self._project_id, group_type, group_key)
        except UnavailableError:
            given = self._request.group_properties.get(group_type, _NOTHING)
            self.unread[group_type] = {*given, "$group_key"}
            return _NOTHING
        return stored or _NOTHING


class Limits(NamedTuple):
    """What a body may hold."""

    body_bytes: int
    json_depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagService:
    """All that a flag request needs, so that it is looked up once."""

    answers: FlagAnswers
    catalog: Catalog
    continuity: Continuity
    catch_up: CatchUp
    projects: Projects
    clock_ms: Callable[[], int]
    limits: Limits
    rate: RateLimit
    warnings: Warnings


def _are_known(named: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    """Tell whether properties that a request names say nothing new."""
    for name, value in named.items():
        if name == "$group_key":
            continue
        kind, known = type(value), stored.get(name, stored)
        if kind not in _COMPARABLE or type(known) is not kind or known != value:
            return False
    return True


def _group_context(
    flags: CompiledFlags,
    group_type: str,
    group_key: str | None,
    properties: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> EvaluationContext:
    """Make the context of one group, of its properties as stored and as named."""
    if group_key is None:
        return EvaluationContext(distinct_id="")
    names = flags.group_names.get(group_type, ())
    return EvaluationContext(
        distinct_id="",
        groups={group_type: group_key},
        group_properties={group_type: group_properties(*properties, group_key, names)},
    )
