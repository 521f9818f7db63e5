"""
PostHog's definitions: lists of its API, or the document for local evaluation.

They keep PostHog's bucketing, so that nobody's answer changes; whatever would change one is
refused.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from flagstream.errors import quote
from flagstream.flags import FlagDefinition, parse_cohort, parse_flag
from flagstream.flags.model import Condition, Filters
from flagstream.flags.walk import Path, cohort_tests, conditions, flag_tests, object_of
from flagstream.state.definitions import Kind

from .group_types import Allotment, allot, named_indexes, with_indexes
from .items import Item, check, refuse_dependents
from .outcome import SKIP, Imported, Refusal, Refusals, Row, Source, Target, Translated
from .posthog_files import Files

# All that says anything of an answer, or of the flag to people.
_FLAG_MEMBERS = (frozenset(FlagDefinition.model_fields) - {"version"}) | {"evaluation_tags"}
_COHORT_MEMBERS = ("id", "name", "description", "group_type_index", "is_static", "members")
_FILTERS = {*Filters.model_fields, "super_groups", "holdout_groups"}
_CONDITION = {*Condition.model_fields, "users_affected", "id", "name"}
_FROZEN = "exposure_frozen"  # of experiments; says nothing of an answer
_IN_POSTHOG = f"change it in PostHog, or {SKIP}"
_NAME_TYPES = "name PostHog's group types in the order of their indexes with --group-type"
_SETTINGS = {"timezone": "dates", "property_matching_version": "true and false"}


def read_posthog(sources: Sequence[Source], target: Target) -> Imported:
    """Translate PostHog's flags and cohorts for a project."""
    files = Files(sources, target.named_types)
    allotment = _allotment(files, target)
    bodies = [_translated(item, files.group_types, allotment) for item in files.items]
    refuse_dependents(files.items, target)
    kept: dict[Kind, list[Translated]] = {Kind.FLAG: [], Kind.COHORT: []}
    for item, body in zip(files.items, bodies, strict=True):
        if not item.refusals.found:
            kept[item.kind].append(Translated(place=item.refusals.place(), body=body))
    refused = [each for item in files.items for each in item.refusals.found]
    return Imported(
        flags=kept[Kind.FLAG],
        cohorts=kept[Kind.COHORT],
        group_types=allotment.added,
        refused=[*files.refused, *_refused_settings(files, target), *refused],
        notes=[note for item in files.items if not item.refusals.found for note in item.notes],
    )


def _allotment(files: Files, target: Target) -> Allotment:
    used = {index for item in files.items for _, index in named_indexes(item.row)}
    names = [files.group_types[index] for index in sorted(files.group_types)]
    return allot(names, [files.group_types.get(index, "") for index in used], target)


def _translated(item: Item, names: Mapping[int, str], allotment: Allotment) -> dict[str, Any]:
    body = _flag(item) if item.kind is Kind.FLAG else _cohort(item)
    indexes: dict[int, int] = {}
    for path, index in named_indexes(body):
        name = names.get(index)
        if name is None:
            why = "the files do not say which group type this is"
            item.refusals.add(path, f"index {index}", why, _NAME_TYPES)
        elif name not in allotment.indexes:
            why = "the project has five other group types"
            item.refusals.add(path, f"the group type {name}", why, SKIP)
        else:
            indexes[index] = allotment.indexes[name]
    return with_indexes(body, indexes)


def _flag(item: Item) -> dict[str, Any]:
    row, refusals = item.row, item.refusals
    body = {name: deepcopy(row[name]) for name in row.keys() & _FLAG_MEMBERS}
    filters = body.get("filters")
    if isinstance(filters, dict):
        _refuse_unknown(refusals, ("filters",), filters, _FILTERS)
        _read_enrollment(item, filters)
        _read_holdout(refusals, filters)
    for path, condition in conditions(body):
        _refuse_unknown(refusals, path, condition, _CONDITION)
    _note(item)
    _drop_chains(test for _, test in flag_tests(body))
    body.setdefault("bucketing", "sha1")
    check(refusals, body, parse_flag, _IN_POSTHOG)
    body.pop("has_encrypted_payloads", None)
    return body


def _cohort(item: Item) -> dict[str, Any]:
    row, refusals = item.row, item.refusals
    body = {name: row[name] for name in _COHORT_MEMBERS if row.get(name) is not None}
    body["filters"] = deepcopy(object_of(row.get("filters")))
    if row.get("query"):
        why = "a query is not judged when flags are"
        refusals.add(("query",), "a cohort by query", why, _static(item))
    if row.get("is_static") is True and not row.get("members"):
        why = "PostHog's answer does not list who is in it"
        refusals.add((), "a static cohort", why, _static(item))
    for path, test in cohort_tests(body):
        if test.get("type") == "behavioral":
            why = "what a person did is not judged when flags are"
            refusals.add(path, f"the event {test.get('key')}", why, _static(item))
    _drop_chains(test for _, test in cohort_tests(body))
    check(refusals, body, parse_cohort, _IN_POSTHOG)
    return body


def _static(item: Item) -> str:
    return f"make a static cohort with the id {item.row.get('id')} and its members, then again"


def _refuse_unknown(refusals: Refusals, path: Path, row: Row, known: Collection[str]) -> None:
    """Refuse members that flagstream does not know, as one could change an answer."""
    for name, value in row.items():
        is_empty = value is None or value is False or value in ([], {})
        if name not in known and not name.startswith(_FROZEN) and not is_empty:
            refusals.add((*path, name), quote(value), "flagstream has no such rule", _IN_POSTHOG)


def _read_enrollment(item: Item, filters: dict[str, Any]) -> None:
    """Read the older spelling of early access: a condition on the person's own choice."""
    older = filters.pop("super_groups", None)
    if not older or filters.get("feature_enrollment"):
        return
    row = {"filters": {"groups": older}}
    if [test.get("key") for _, test in flag_tests(row)] == [
        f"$feature_enrollment/{item.row.get('key')}"
    ]:
        filters["feature_enrollment"] = True
        return
    path = ("filters", "super_groups")
    item.refusals.add(path, quote(older), "this is no choice of early access", _IN_POSTHOG)


def _read_holdout(refusals: Refusals, filters: dict[str, Any]) -> None:
    older = filters.pop("holdout_groups", None)
    if older and not filters.get("holdout"):
        why = "some of PostHog's servers hold out by it, and newer ones do not"
        path = ("filters", "holdout_groups")
        refusals.add(path, quote(older), why, "set `holdout` in PostHog, or remove this")


def _drop_chains(tests: Iterator[Row]) -> None:
    """Leave out what says in documents alone that a flag is named by its key."""
    for test in tests:
        # A key of digits would be taken for an id.
        if isinstance(test, dict) and not str(test.get("key")).isdecimal():
            test.pop("dependency_chain", None)


def _refused_settings(files: Files, target: Target) -> Iterator[Refusal]:
    """Refuse to read dates and truth otherwise than the project that the flags are from."""
    for file, name, value in files.settings:
        ours = getattr(target, name)
        if value is not None and value != ours:
            refusals = Refusals("the project", file)
            why = f"{_SETTINGS[name]} are read otherwise here, where it is {ours}"
            instead = f'change it: PATCH /api/projects/@current {{"{name}": …}}'
            refusals.add((name,), quote(value), why, instead)
            yield from refusals.found


def _note(item: Item) -> None:
    if item.row.get("ensure_experience_continuity"):
        item.note(
            "persons whom PostHog keeps bucketed by the id from before their login are bucketed by "
            "that of today until they log in anew"
        )
    if item.row.get("experiment_set"):
        item.note("the flag is taken over, its experiment is not")
