"""The library's face: flags of a document, evaluated for one user after the other."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Self

from .bucketing import utf8
from .compilation import compile_project
from .compiled_flags import CompiledFlags
from .context import group_key_text
from .context import person_properties as merged_person
from .document import read_document
from .evaluation import Evaluation
from .project import parse_project
from .slots import DEVICE, EMPTY, NOW, PERSON, Request

_NOTHING: Mapping[str, Any] = MappingProxyType({})
Properties = Mapping[str, Any]


class FlagSet(CompiledFlags):
    """
    Flags that a backend evaluates in its own process.

    Immutable and safe to share between threads; a new document makes a new set::

        flags = FlagSet.from_definitions(document)
        answer = flags.evaluate("user-1", groups={"organization": "acme"})["new-billing"]
        answer.value, answer.decoded_payload, answer.reason
    """

    @classmethod
    def from_definitions(cls, document: Mapping[str, Any]) -> Self:
        """
        Compile a document; a flag that cannot be read answers ``failed``, the others work.

        Args:
            document: What ``/flags/definitions`` answers: ``flags`` as a list of rows,
                ``group_type_mapping`` of index as text to name, ``cohorts`` of id as text to
                ``{"type", "values"}``. Cohorts may also be a list of rows as the API answers them,
                static ones with their ``members`` among them. A flag that does not say
                ``bucketing`` is PostHog's and hashes by sha1. ``property_matching_version`` and
                ``timezone`` are 1 and UTC where they are missing.

        Raises:
            InvalidDefinitionError: The document itself has another shape.
        """
        return cls.of(compile_project(parse_project(read_document(document))))

    def evaluate(  # noqa: PLR0913 -- all that a backend may know of who asks
        self,
        distinct_id: str,
        *,
        groups: Mapping[str, str | float] = _NOTHING,
        person_properties: Properties = _NOTHING,
        group_properties: Mapping[str, Properties] = _NOTHING,
        device_id: str | None = None,
        flag_keys: Collection[str] | None = None,
        now: datetime | None = None,
    ) -> Mapping[str, Evaluation]:
        """
        Evaluate flags for one user.

        Args:
            groups: Group key by name of its type; numbers count as their text. A group that is not
                named is not known: nothing is remembered here.
            person_properties: Values are JSON.
            group_properties: By name of the group's type.
            flag_keys: Of the flags to evaluate; unknown ones are left out of the answer, and those
                of flags that are not active are answered with ``flag_disabled``. None is all that
                are active.
            now: With a time zone; None is the present. Only filters on dates look at it.

        Returns:
            By flag key, in the order of definition, those that are not active at the end. Never
            raises, whatever the properties hold.
        """
        request = EMPTY.copy()
        if self._looks_beyond_groups:
            self._fill(request, distinct_id, person_properties, device_id, now)
        for group_type, slot in self._group_slots:
            key = groups.get(group_type)
            name = key if type(key) is str else group_key_text(key)
            if name:
                properties = group_properties.get(group_type, _NOTHING)
                if self._looks_at_group_key:
                    properties = {**properties, "$group_key": name}
                request[slot] = (properties, name.encode() if name.isascii() else utf8(name))
        if flag_keys is not None:
            return self._answers_by_key(request, flag_keys)
        if self._needs:
            self._ask_first(request, self._needs)
        answers: dict[str, Evaluation] = {}
        for name, rule in self._named_rules:
            answers[name] = rule(request)
        return answers

    def _fill(
        self,
        request: Request,
        distinct_id: str,
        properties: Properties,
        device_id: str | None,
        now: datetime | None,
    ) -> None:
        if self._adds_to_person:
            properties = merged_person(_NOTHING, properties, distinct_id, self.person_names)
        request[PERSON] = (properties, utf8(distinct_id))
        if device_id:
            request[DEVICE] = (properties, utf8(device_id))
        if self._looks_at_time:
            request[NOW] = _milliseconds(now)

    def _answers_by_key(self, request: Request, keys: Collection[str]) -> Mapping[str, Evaluation]:
        answers = {answer.key: answer for answer in self._ask_for(request, keys)}
        answers.update((key, self._disabled[key]) for key in keys if key in self._disabled)
        return answers


def _milliseconds(now: datetime | None) -> int:
    moment = datetime.now(UTC) if now is None else now
    return int(moment.timestamp() * 1000)
