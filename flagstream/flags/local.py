"""The document by which server SDKs evaluate flags themselves."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flagstream.errors import InvalidDefinitionError

from .compiler import compile_flag
from .model import Condition, FlagDefinition
from .parse import aggregation, parse_flag, source

# Classes that RE2 reads as ASCII and some SDK reads as Unicode, or the other way round.
_DIFFERING_CLASS = re.compile(r"\\[dDsSwW]")


def local_definitions(
    rows: Mapping[str, Mapping[str, Any]], group_types: Mapping[str, int]
) -> dict[str, Any]:
    """
    Make the document: inactive flags are in it, deleted ones and mere remote configuration not.

    A flag that an SDK would judge differently is marked with ``ensure_experience_continuity``, at
    which every SDK asks the server. A row that does not parse is left out, with the same effect.

    Args:
        rows: As stored, by flag key.
        group_types: Index by name.
    """
    definitions = [definition for row in rows.values() for definition in _parsed(row)]
    return {
        "flags": [_document(each) for each in definitions],
        "group_type_mapping": {str(index): name for name, index in group_types.items()},
        "cohorts": {},
    }


def _parsed(row: Mapping[str, Any]) -> Sequence[FlagDefinition]:
    try:
        definition = parse_flag(row)
    except InvalidDefinitionError:
        return ()
    return () if definition.deleted or definition.is_remote_configuration else (definition,)


def _document(definition: FlagDefinition) -> dict[str, Any]:
    return {
        "id": definition.id,
        "team_id": 1,
        "key": definition.key,
        "name": definition.name or "",
        "filters": _filters(definition),
        "active": definition.active,
        "deleted": False,
        "version": definition.version,
        "ensure_experience_continuity": _asks_server(definition),
        "bucketing": definition.bucketing,
        "bucketing_identifier": definition.bucketing_identifier,
        "evaluation_runtime": definition.evaluation_runtime or "all",
        "evaluation_contexts": list(definition.evaluation_contexts or ()),
        "has_encrypted_payloads": False,
        "has_experiment": False,
    }


def _filters(definition: FlagDefinition) -> dict[str, Any]:
    filters = definition.filters.model_dump(mode="json", exclude_unset=True)
    return {"groups": [], **filters}


def _asks_server(definition: FlagDefinition) -> bool:
    """Tell whether an SDK alone could come to another answer than the server."""
    conditions = definition.filters.groups or ()
    return (
        bool(definition.ensure_experience_continuity)
        or (definition.bucketing == "murmur3" and compile_flag(definition).is_hashed)
        or len({condition.variant for condition in conditions}) > 1
        or any(_differs(definition, condition) for condition in conditions)
    )


def _differs(definition: FlagDefinition, condition: Condition) -> bool:
    """Tell whether SDKs read a condition differently: who it is about, or one of its tests."""
    aggregated = aggregation(definition, condition)
    return aggregated != definition.filters.aggregation_group_type_index or any(
        source(test, aggregated) != aggregated
        or (test.value is None and test.operator not in {"is_set", "is_not_set"})
        or ("regex" in test.operator and _DIFFERING_CLASS.search(str(test.value)) is not None)
        for test in condition.properties or ()
    )
