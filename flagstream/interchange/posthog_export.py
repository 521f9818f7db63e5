"""Definitions written as PostHog's document for local evaluation."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

from flagstream.flags import CompiledProject, Definitions, compile_project, parse_project
from flagstream.flags.walk import Row, cohort_tests, flag_tests
from flagstream.state.definitions import Kind

from .items import Item, refuse_dependents
from .outcome import SKIP, Exported, Target

_PROJECT = "the project"
_CHAIN = "dependency_chain"


def write_posthog(document: Row, target: Target) -> Exported:
    """
    Write flags and cohorts so that PostHog's SDKs answer as flagstream does.

    Args:
        document: What an export of flagstream's own is, flags named by their keys.
        target: The project that it is of.
    """
    project = _compiled(document, target)
    flags = [_flag(at, row, project) for at, row in enumerate(document["flags"])]
    cohorts = [_cohort(at, row) for at, row in enumerate(document["cohorts"])]
    refuse_dependents([*flags, *cohorts], Target())
    return Exported(
        document={
            "flags": [_with_chains(each, project) for each in flags if _is_kept(each)],
            "group_type_mapping": {str(index): name for name, index in target.group_types.items()},
            "cohorts": {
                str(each.row["id"]): _with_chains(each, project)["filters"]["properties"]
                for each in cohorts
                if _is_kept(each)
            },
            "property_matching_version": target.property_matching_version,
            "timezone": target.timezone,
        },
        refused=[each for item in (*flags, *cohorts) for each in item.refusals.found],
    )


def _is_kept(item: Item) -> bool:
    return not item.refusals.found


def _compiled(document: Row, target: Target) -> CompiledProject:
    """Compile all flags as if they were active, as they may be some day."""
    rows = {row["key"]: {**row, "active": True, "archived": False} for row in document["flags"]}
    return compile_project(
        parse_project(
            Definitions(
                flags=rows,
                cohorts={row["id"]: row for row in document["cohorts"]},
                group_types=target.group_types,
                timezone=target.timezone,
                property_matching_version=target.property_matching_version,
            )
        )
    )


def _flag(at: int, row: Row, project: CompiledProject) -> Item:
    item = Item(Kind.FLAG, _PROJECT, ("flags", at), row)
    compiled = project.by_key.get(row["key"])
    if row.get("bucketing") == "murmur3" and (compiled is None or compiled.is_hashed):
        why = "PostHog hashes by SHA-1 and would let in others"
        instead = f"set it to sha1, which moves some here, or {SKIP}"
        item.refusals.add(("bucketing",), "murmur3", why, instead)
    return item


def _cohort(at: int, row: Row) -> Item:
    item = Item(Kind.COHORT, _PROJECT, ("cohorts", at), row)
    if row.get("group_type_index") is not None:
        why = "PostHog's cohorts are of persons"
        instead = f"write its rules into the flags, or {SKIP}"
        item.refusals.add(("group_type_index",), "a cohort of groups", why, instead)
    if row.get("is_static"):
        why = "the document holds no members"
        item.refusals.add(("is_static",), "a static cohort", why, f"write rules, or {SKIP}")
    return item


def _with_chains(item: Item, project: CompiledProject) -> Mapping[str, Any]:
    """Say beside each flag that is named what it follows from, as SDKs want to know."""
    row = deepcopy(dict(item.row))
    for _, test in (flag_tests if item.kind is Kind.FLAG else cohort_tests)(row):
        if test.get("type") == "flag":
            # Of the copy, hence ours to change.
            cast("dict[str, Any]", test)[_CHAIN] = _chain(test["key"], project)
    return row


def _chain(key: str, project: CompiledProject) -> list[str]:
    if key in project.missing or key not in project.by_key:
        return []
    return [*(each.key for each in project.by_key[key].needs), key]
