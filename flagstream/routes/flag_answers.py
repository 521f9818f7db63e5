"""From what a flag request names and what is remembered to the evaluations of its flags."""

from collections.abc import Mapping, Sequence
from typing import Any

from flagstream.flags import Evaluation, EvaluationContext, FlagSet
from flagstream.ports import Catalog, ProjectSnapshot, StateView
from flagstream.telemetry import FILLED_GROUPS
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


class FlagAnswers:
    """Evaluates flag requests; reads each needed group and person once, and never awaits."""

    def __init__(self, catalog: Catalog, view: StateView) -> None:
        self._catalog = catalog
        self._view = view

    def evaluate(self, project_id: int, asked: FlagsRequest, now_ms: int) -> Sequence[Evaluation]:
        """Evaluate the flags that are asked for."""
        if asked.disable_flags:
            return ()
        snapshot = self._catalog.project(project_id)
        context = self._context(project_id, snapshot, asked, now_ms)
        return snapshot.flags.evaluate(context, asked.flag_keys)

    def _context(
        self, project_id: int, snapshot: ProjectSnapshot, asked: FlagsRequest, now_ms: int
    ) -> EvaluationContext:
        flags = snapshot.flags
        groups = self._groups(project_id, snapshot, asked, now_ms)
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

    def _groups(
        self, project_id: int, snapshot: ProjectSnapshot, asked: FlagsRequest, now_ms: int
    ) -> Mapping[str, str]:
        """Fill the types that the request leaves out from the active groups of its user."""
        if not snapshot.settings.remember_active_groups:
            return asked.groups
        if snapshot.flags.group_types <= asked.groups.keys():
            return asked.groups
        remembered = self._view.active_groups(
            project_id, asked.distinct_id, asked.session_id, now_ms
        )
        if not remembered:
            return asked.groups
        FILLED_GROUPS.inc()
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
