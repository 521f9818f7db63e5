"""From what a flag request names and what is remembered to the evaluations of its flags."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flagstream.flags import Evaluation, EvaluationContext, FlagSet
from flagstream.ports import Catalog, Projects, ProjectSnapshot, StateView
from flagstream.telemetry import FILLED_FLAG_REQUESTS
from flagstream.wire import FlagsRequest

_NOTHING: Mapping[str, Any] = {}
# Properties of a first visit: where they are unknown, today's are the first.
_INITIAL = {
    name: f"$initial_{name.removeprefix('$')}"
    for name in (
        *("$app_build", "$app_name", "$app_namespace", "$app_version"),
        *("$browser", "$browser_version", "$device_type", "$os", "$os_name", "$os_version"),
        *("$current_url", "$host", "$pathname", "$referrer", "$referring_domain"),
        *("$raw_user_agent", "$screen_height", "$screen_width"),
        *("$viewport_height", "$viewport_width"),
        *("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_name", "utm_term"),
        *("gclid", "gad_source", "gclsrc", "dclid", "gbraid", "wbraid", "fbclid", "msclkid"),
        *("twclid", "li_fat_id", "mc_cid", "igshid", "ttclid", "rdt_cid", "epik", "qclid"),
        *("sccid", "irclid", "_kx"),
    )
}


# Equal values of these types are alike in every test; 1.0 and 1, or True and 1, are not.
_COMPARABLE = (str, int, bool, type(None))
_READY_BYTES = 32 * 1024 * 1024


class _Ready:
    """
    Joined answers of pure group flags: a function of the flags, the group and its properties.

    Attributes:
        flags: Those that the answers were made with; others start anew.
        answers: By type and key: the properties that it was made of, and the answer.
    """

    __slots__ = ("answers", "flags", "size_bytes")

    def __init__(self, flags: FlagSet) -> None:
        self.flags = flags
        self.answers: dict[tuple[str, str | None], tuple[Mapping[str, Any], bytes]] = {}
        self.size_bytes = 0

    def put(
        self, place: tuple[str, str | None], properties: Mapping[str, Any], answer: bytes
    ) -> None:
        """Keep an answer; all are dropped where they would take more memory than they may."""
        if self.size_bytes > _READY_BYTES:
            self.answers.clear()
            self.size_bytes = 0
        self.answers[place] = (properties, answer)
        self.size_bytes += len(answer)


class FlagAnswers:
    """Evaluates flag requests; reads each needed group and person once, and never awaits."""

    def __init__(self, catalog: Catalog, view: StateView) -> None:
        self._catalog = catalog
        self._view = view
        self._ready: dict[int, _Ready] = {}

    def evaluate(self, project_id: int, asked: FlagsRequest, now_ms: int) -> Sequence[Evaluation]:
        """Evaluate the flags that are asked for."""
        if asked.disable_flags:
            return ()
        snapshot = self._catalog.project(project_id)
        groups = self._filled(project_id, snapshot, asked, now_ms)
        context = self._context(project_id, snapshot.flags, asked, groups)
        return snapshot.flags.evaluate(context, asked.flag_keys)

    def v2(self, project_id: int, asked: FlagsRequest, now_ms: int) -> tuple[bytes, bool]:
        """
        Answer in the shape of version 2, as far as possible with what is ready.

        Returns:
            The members of ``flags``, encoded, and whether a flag failed.
        """
        if asked.disable_flags or asked.flag_keys is not None:
            return join_v2(self.evaluate(project_id, asked, now_ms))
        snapshot = self._catalog.project(project_id)
        flags, groups = snapshot.flags, asked.groups
        if not flags.group_types <= groups.keys():
            groups = self._filled(project_id, snapshot, asked, now_ms)
        ready = self._ready.get(project_id)
        if ready is None or ready.flags is not flags:
            ready = self._ready[project_id] = _Ready(flags)
        parts = []
        for group_type in flags.group_types:
            group_key = groups.get(group_type)
            part = self._group_part(project_id, ready, group_type, group_key, asked)
            if part:
                parts.append(part)
        has_failed = False
        if flags.person_flags.keys:
            context = self._context(project_id, flags.person_flags, asked, groups)
            part, has_failed = join_v2(flags.person_flags.evaluate(context))
            parts.append(part)
        return b",".join(parts), has_failed

    def _group_part(
        self,
        project_id: int,
        ready: _Ready,
        group_type: str,
        group_key: str | None,
        asked: FlagsRequest,
    ) -> bytes:
        """Answer the flags that look at one group and nothing else."""
        stored = _NOTHING
        if group_key is not None:
            stored = self._view.group_properties(project_id, group_type, group_key) or _NOTHING
            named = asked.group_properties.get(group_type)
            if named and not _are_known(named, stored):
                named = {**stored, **named}
                return _evaluate_group(ready.flags, group_type, group_key, named)
        place = (group_type, group_key)
        kept = ready.answers.get(place)
        if kept is not None and kept[0] is stored:
            return kept[1]
        answer = _evaluate_group(ready.flags, group_type, group_key, stored)
        ready.put(place, stored, answer)
        return answer

    def _context(
        self, project_id: int, flags: FlagSet, asked: FlagsRequest, groups: Mapping[str, str]
    ) -> EvaluationContext:
        return EvaluationContext(
            distinct_id=asked.distinct_id,
            device_id=asked.device_id,
            groups=groups,
            person_properties=self._person(project_id, flags, asked),
            group_properties={
                group_type: self._group(project_id, group_type, groups[group_type], asked)
                for group_type in flags.group_types
                if group_type in groups
            },
        )

    def _filled(
        self, project_id: int, snapshot: ProjectSnapshot, asked: FlagsRequest, now_ms: int
    ) -> Mapping[str, str]:
        """Fill the types that the request leaves out from the active groups of its user."""
        if not snapshot.settings.remember_active_groups:
            return asked.groups
        remembered = self._view.active_groups(
            project_id, asked.distinct_id, asked.session_id, now_ms
        )
        if remembered:
            FILLED_FLAG_REQUESTS.inc()
        return {**remembered, **asked.groups}

    def _group(
        self, project_id: int, group_type: str, group_key: str, asked: FlagsRequest
    ) -> Mapping[str, Any]:
        stored = self._view.group_properties(project_id, group_type, group_key) or _NOTHING
        named = asked.group_properties.get(group_type, _NOTHING)
        return {**stored, **named, "$group_key": group_key}

    def _person(self, project_id: int, flags: FlagSet, asked: FlagsRequest) -> Mapping[str, Any]:
        if not flags.needs_person:
            return _NOTHING
        person = self._view.person(project_id, asked.distinct_id)
        stored = _NOTHING if person is None else person.properties
        properties = {**stored, **asked.person_properties, "distinct_id": asked.distinct_id}
        for name in properties.keys() & _INITIAL.keys():
            properties.setdefault(_INITIAL[name], properties[name])
        return properties


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagService:
    """All that a flag request needs, so that it is looked up once."""

    answers: FlagAnswers
    projects: Projects
    clock_ms: Callable[[], int]
    max_body_bytes: int
    max_json_depth: int


def join_v2(evaluations: Sequence[Evaluation]) -> tuple[bytes, bool]:
    """Join the members of a version 2 answer, and tell whether one of them failed."""
    members = b",".join([evaluation.v2 for evaluation in evaluations])
    return members, any(evaluation.failed for evaluation in evaluations)


def _are_known(named: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    """Tell whether properties that a request names say nothing new."""
    for name, value in named.items():
        if name == "$group_key":
            continue
        kind, known = type(value), stored.get(name, stored)
        if kind not in _COMPARABLE or type(known) is not kind or known != value:
            return False
    return True


def _evaluate_group(
    flags: FlagSet, group_type: str, group_key: str | None, properties: Mapping[str, Any]
) -> bytes:
    context = EvaluationContext(distinct_id="")
    if group_key is not None:
        context = EvaluationContext(
            distinct_id="",
            groups={group_type: group_key},
            group_properties={group_type: {**properties, "$group_key": group_key}},
        )
    return join_v2(flags.group_flags(group_type).evaluate(context))[0]
