"""Definitions parsed, compiled, asked, and written for SDKs."""

from collections.abc import Iterator, Mapping
from dataclasses import replace as changed_project
from typing import Any

from flagstream.errors import InvalidDefinitionError
from flagstream.flags import (
    CompiledFlags,
    CompiledProject,
    Definitions,
    Evaluation,
    EvaluationContext,
    LocalDefinitions,
    compile_flags,
    compile_project,
    local_definitions,
    parse_flag,
    parse_project,
)
from tests.fakes.definitions import GROUP_TYPES, PROJECT_KEYS


def answer(row, context):
    (evaluation,) = compile_flags({row["key"]: row}, GROUP_TYPES).answers(context)
    return evaluation


def parsed(row):
    try:
        return parse_flag(row), ()
    except InvalidDefinitionError as error:
        return None, error.problems


def project_of(definitions: Definitions, before: CompiledProject | None = None) -> CompiledProject:
    return compile_project(parse_project(definitions, before and before.parsed), before)


def compiled(definitions: Definitions) -> CompiledFlags:
    return CompiledFlags.of(project_of(definitions))


def answers(definitions: Definitions, context: EvaluationContext) -> Mapping[str, Evaluation]:
    return {each.key: each for each in compiled(definitions).answers(context)}


def with_flags(definitions: Definitions, rows: Mapping[str, Any]) -> Definitions:
    return changed_project(definitions, flags=rows)


def documents(project: CompiledProject, before: tuple[LocalDefinitions, ...] | None = None):
    """Make the documents, for a server that remembers groups and for one that does not."""
    return tuple(
        local_definitions(project, remembers_groups=remembers, before=before and before[remembers])
        for remembers in (False, True)
    )


def filters_of(definitions: Definitions, row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Walk through the filters of a flag, and of the cohorts and flags that they name."""
    pending, seen = [row["filters"]], set()
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending.extend(part)
            continue
        inner = part.get("groups", part.get("properties", part.get("values")))
        if inner is not None and "operator" not in part:
            pending.append(inner)
            continue
        yield part
        place = (part.get("type"), part.get("value" if part.get("type") == "cohort" else "key"))
        if place in seen:
            continue
        seen.add(place)
        if part.get("type") == "cohort" and part["value"] in definitions.cohorts:
            pending.append(definitions.cohorts[part["value"]].get("filters", []))
        elif part.get("type") == "flag" and named(part) in definitions.flags:
            pending.append(definitions.flags[named(part)]["filters"])


def named(test: Mapping[str, Any]) -> str:
    """Tell the key of the flag that a filter names by key or by id."""
    at = int(test["key"]) - 1 if test["key"].isdecimal() else len(PROJECT_KEYS)
    return PROJECT_KEYS[at] if at < len(PROJECT_KEYS) else test["key"]


def needed(definitions: Definitions, key: str) -> set[str]:
    """Collect a flag and all that it follows from."""
    tests = filters_of(definitions, definitions.flags[key])
    return {key} | {named(test) for test in tests if test.get("type") == "flag"}


def needs_members(definitions: Definitions, key: str) -> bool:
    """Tell whether a flag looks at a cohort whose members are listed."""
    return any(
        test.get("type") == "cohort"
        and definitions.cohorts.get(test["value"], {}).get("is_static", False)
        for test in filters_of(definitions, definitions.flags[key])
    )
