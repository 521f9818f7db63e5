"""
The document by which server SDKs evaluate flags themselves.

Whatever an SDK decides alone, it must decide as the server would. So a flag that some SDK could
judge differently is marked with ``ensure_experience_continuity``, at which every SDK asks the
server. SDKs differ in what they judge alike, hence a document for each that is known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import orjson

from .compilation import CompiledProject, flag_filters, sound_cohorts
from .compiler import CompiledFlag
from .model import CohortDefinition, Condition, FlagDefinition, PropertyFilter, PropertyGroup
from .parse import PROPERTY_TYPES, aggregation, is_alone, leaves, source
from .portable import Sdk, is_portable, value_differs
from .project import ParsedProject
from .steps import Steps, stepwise
from .values import encoded

ORIGINAL = "original_filters"
"""A member that no SDK reads: the rules as they are stored, where others are sent."""

_NEVER_GIVEN = "$flagstream_asks_server"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalDefinitions:
    """
    The documents of a project.

    Attributes:
        documents: JSON for each SDK.
    """

    documents: Mapping[Sdk, bytes]
    fragments: Mapping[str, "_Fragment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fragment:
    """One flag in the documents, and all that it was made of."""

    definition: FlagDefinition
    compiled: CompiledFlag | None
    remembers_groups: bool
    documents: Mapping[Sdk, bytes]


@stepwise
def local_definitions(
    project: CompiledProject, *, remembers_groups: bool, before: LocalDefinitions | None = None
) -> Steps[LocalDefinitions]:
    """
    Make the documents, flag by flag.

    Inactive flags are in them, deleted ones and mere configuration are not. A row that cannot be
    read is left out, which makes SDKs ask the server as well.

    Args:
        remembers_groups: Groups that a request leaves out may be filled from the session's.
        before: What was made last; what has not changed since is taken from there.
    """
    sound = yield from sound_cohorts.steps(project.parsed)
    local = _Local(project, sound, remembers_groups=remembers_groups)
    known: Mapping[str, _Fragment] = {} if before is None else before.fragments
    fragments: dict[str, _Fragment] = {}
    for key, definition in project.parsed.flags.items():
        if not definition.is_remote_configuration:
            fragments[key] = local.fragment(definition, known.get(key))
        yield
    rest = orjson.dumps((yield from local.rest()), option=orjson.OPT_SORT_KEYS)[1:]
    documents: dict[Sdk, bytes] = {}
    for sdk in Sdk:
        documents[sdk] = yield from _written(fragments.values(), sdk, rest)
    return LocalDefinitions(documents=documents, fragments=fragments)


def _written(fragments: Iterable[_Fragment], sdk: Sdk, rest: bytes) -> Steps[bytes]:
    document, separator = BytesIO(), b""
    document.write(b'{"flags":[')
    for fragment in fragments:
        document.write(separator)
        document.write(fragment.documents[sdk])
        separator = b","
        yield
    document.write(b"],")
    document.write(rest)
    return document.getvalue()


class _Local:
    """Decides what an SDK may decide alone."""

    def __init__(
        self,
        project: CompiledProject,
        sound: Iterable[CohortDefinition],
        *,
        remembers_groups: bool,
    ) -> None:
        self._parsed: ParsedProject = project.parsed
        self._compiled = project.by_key
        self._missing = project.missing
        self._remembers_groups = remembers_groups
        self._cohorts = {each.id: each for each in sound if not each.is_static}
        self._asking: dict[tuple[str, Sdk], bool] = {}
        self._differing: dict[tuple[int, Sdk], bool] = {}

    def rest(self) -> Steps[dict[str, Any]]:
        """Make the members beside the flags."""
        portable, others = dict[str, orjson.Fragment](), dict[str, orjson.Fragment]()
        for key, each in self._cohorts.items():
            rules = self._property_group(each.filters.properties)
            if is_portable(each):
                portable[str(key)] = orjson.Fragment(encoded(rules))
            else:
                rules["group_type_index"] = each.group_type_index
                others[str(key)] = orjson.Fragment(encoded(rules))
            yield
        return {
            "group_type_mapping": {
                str(index): name for name, index in self._parsed.group_types.items()
            },
            "cohorts": portable,
            # No SDK knows these; it asks the server for a cohort that is not in `cohorts`.
            "other_cohorts": others,
            "property_matching_version": self._parsed.matching.version,
            "timezone": str(self._parsed.matching.timezone),
        }

    def fragment(self, definition: FlagDefinition, known: _Fragment | None) -> _Fragment:
        """Make one flag, or keep it where all that it was made of is the same."""
        compiled = self._compiled.get(definition.key)
        if (
            known is not None
            and known.definition is definition
            and known.compiled is compiled
            and known.remembers_groups is self._remembers_groups
            and self._is_settled(definition, compiled)
        ):
            return known
        document = self._document(definition)
        asking = {**document, "ensure_experience_continuity": True}
        alone = self._guarded(definition, document)
        asked = encoded(asking)
        answered = asked if alone is None else encoded(alone)
        return _Fragment(
            definition=definition,
            compiled=compiled,
            remembers_groups=self._remembers_groups,
            documents={
                sdk: asked if self.asks_server(definition.key, sdk) else answered for sdk in Sdk
            },
        )

    def _is_settled(self, definition: FlagDefinition, compiled: CompiledFlag | None) -> bool:
        """Tell whether a flag is the same as long as its definition and its compiled form are."""
        if compiled is None:
            return is_alone(definition)
        if compiled.is_alone:
            return True
        # What cohorts and other flags are compiled to is in it, flags that are not active are not.
        needed = {each.key for each in compiled.needs}
        named = flag_filters(definition.tests, self._cohorts)
        return all(self._parsed.resolve(test) in needed for test in named)

    def asks_server(self, key: str, sdk: Sdk) -> bool:
        """Tell whether an SDK alone could come to another answer about a flag than the server."""
        place = (key, sdk)
        if place not in self._asking:
            compiled = self._compiled.get(key)
            # First those that it follows from, so that long chains are no deep recursion.
            for each in (*((need.key for need in compiled.needs) if compiled else ()), key):
                if (each, sdk) not in self._asking:
                    self._asking[each, sdk] = self._asks_server(each, sdk)
        return self._asking[place]

    def _asks_server(self, key: str, sdk: Sdk) -> bool:
        definition = self._parsed.flags.get(key)
        if definition is None or key in self._missing:
            return True
        if not definition.active:
            return False
        if sdk is Sdk.OTHER and self._needs_more_than_the_hash(definition):
            return True
        compiled, filters = self._compiled[key], definition.filters
        conditions = definition.conditions
        return (
            bool(definition.ensure_experience_continuity)
            or bool(filters.feature_enrollment)
            or (definition.bucketing == "murmur3" and compiled.is_hashed)
            # Where no group is named, the server holds out by the empty key.
            or (filters.holdout is not None and filters.aggregation_group_type_index is not None)
            # A condition that an SDK cannot judge does not keep it from judging the next one.
            or (len(conditions) > 1 and bool(filters.early_exit))
            or len({condition.variant for condition in conditions}) > 1
            or any(self._differs(definition, condition, sdk) for condition in conditions)
        )

    def _needs_more_than_the_hash(self, definition: FlagDefinition) -> bool:
        """
        Tell whether old SDKs may judge a flag otherwise.

        They know no holdouts and no conditions that are about a group by themselves, and judge even
        equality in their own ways: of null, of what looks like a boolean.
        """
        filters = definition.filters
        return (
            bool(definition.tests)
            or filters.holdout is not None
            or (self._remembers_groups and filters.aggregation_group_type_index is not None)
        )

    def _differs(self, definition: FlagDefinition, condition: Condition, sdk: Sdk) -> bool:
        """Tell whether SDKs read a condition differently: who it is about, or one of its tests."""
        aggregated = aggregation(definition, condition)
        return aggregated != definition.filters.aggregation_group_type_index or any(
            self._test_differs(test, aggregated, sdk) for test in condition.tests
        )

    def _test_differs(self, test: PropertyFilter, aggregated: int | None, sdk: Sdk) -> bool:
        if test.type == "flag":
            return aggregated is not None or self._dependency_differs(test, sdk)
        if test.type == "cohort":
            return aggregated is not None or self._cohort_differs(test.value, sdk)
        return (
            test.type not in PROPERTY_TYPES
            or test.type == "person_metadata"
            or source(test, aggregated) != aggregated
            or value_differs(test, sdk)
        )

    def _cohort_differs(self, cohort_id: int, sdk: Sdk) -> bool:
        cohort, place = self._cohorts.get(cohort_id), (cohort_id, sdk)
        if cohort is None or not is_portable(cohort):
            return True
        # Once for each: cohorts that name each other many times are as many ways through.
        if place not in self._differing:
            tests = leaves(cohort.filters.properties)
            self._differing[place] = any(self._test_differs(test, None, sdk) for test in tests)
        return self._differing[place]

    def _dependency_differs(self, test: PropertyFilter, sdk: Sdk) -> bool:
        key = self._parsed.resolve(test)
        definition = None if key is None else self._parsed.flags.get(key)
        if definition is None or test.operator != "flag_evaluates_to" or test.value is None:
            return True
        # Who does not see a flag takes it for false, which SDKs do not know.
        return (
            definition.evaluation_runtime not in (None, "all")
            or bool(definition.evaluation_contexts)
            or bool(definition.is_remote_configuration)
            or definition.bucketing_identifier == "device_id"
            or definition.filters.aggregation_group_type_index is not None
            or self.asks_server(definition.key, sdk)
        )

    def _guarded(
        self, definition: FlagDefinition, document: dict[str, Any]
    ) -> dict[str, Any] | None:
        """
        Make a flag of groups so that an SDK asks the server where no group is named.

        SDKs take a group that is not named for none, where the server may remember one. Nothing
        makes an SDK ask for just that, so the rules are written otherwise: each condition is about
        the group by itself; then comes one that ends the evaluation for every group, as it lets in
        none; and behind it one that no SDK can judge, which only who names no group comes to.

        Returns:
            None where the rules cannot be written so.
        """
        filters, index = document["filters"], definition.filters.aggregation_group_type_index
        if index is None or not self._remembers_groups or not definition.active:
            return document
        conditions = definition.conditions
        if definition.filters.early_exit or any(
            each.rollout_percentage not in (None, 100) for each in conditions[:-1]
        ):
            return None
        about = {"aggregation_group_type_index": index}
        asks = {"key": _NEVER_GIVEN, "type": "person", "operator": "is_set", "value": "is_set"}
        return {
            **document,
            "bucketing_identifier": None,
            "filters": {
                **filters,
                "aggregation_group_type_index": None,
                "early_exit": True,
                "groups": [
                    *({**each, **about} for each in filters["groups"]),
                    {"properties": [], "rollout_percentage": 0, **about},
                    {"properties": [asks], "rollout_percentage": 100},
                ],
            },
            ORIGINAL: filters,
        }

    def _document(self, definition: FlagDefinition) -> dict[str, Any]:
        return {
            "id": definition.id,
            "team_id": 1,
            "key": definition.key,
            "name": definition.name or "",
            "filters": self._filters(definition),
            "active": definition.active,
            "deleted": False,
            "version": definition.version,
            "ensure_experience_continuity": bool(definition.ensure_experience_continuity),
            "bucketing": definition.bucketing,
            "bucketing_identifier": definition.bucketing_identifier,
            "evaluation_runtime": definition.evaluation_runtime or "all",
            "evaluation_contexts": list(definition.evaluation_contexts or ()),
            "has_encrypted_payloads": False,
            "has_experiment": False,
        }

    def _filters(self, definition: FlagDefinition) -> dict[str, Any]:
        filters = definition.filters.model_dump(mode="json", exclude_unset=True)
        conditions = definition.conditions
        filters["groups"] = [
            {**sent, "properties": [self._filter(test) for test in condition.tests]}
            for condition, sent in zip(conditions, filters.get("groups") or (), strict=True)
        ]
        return filters

    def _property_group(self, group: PropertyGroup) -> dict[str, Any]:
        return {
            "type": group.type,
            "values": [
                self._property_group(each)
                if isinstance(each, PropertyGroup)
                else self._filter(each)
                for each in group.values
            ],
        }

    def _filter(self, test: PropertyFilter) -> dict[str, Any]:
        sent = test.model_dump(mode="json", exclude_unset=True)
        if test.type != "flag":
            return sent
        key = self._parsed.resolve(test)
        return {**sent, "key": key or test.key, "dependency_chain": self._chain(key)}

    def _chain(self, key: str | None) -> list[str]:
        """Order what a flag follows from; empty where something is missing or there is no end."""
        if key is None or key not in self._parsed.flags or key in self._missing:
            return []
        compiled = self._compiled.get(key)
        return [*(each.key for each in compiled.needs), key] if compiled else [key]
