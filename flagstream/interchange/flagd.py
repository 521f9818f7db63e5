"""
Definitions of flagd.

Rules answer alike. Rollouts keep their shares, but not who is in them: the hashes differ.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from flagstream.errors import quote
from flagstream.flags import parse_flag
from flagstream.flags.walk import Path, object_of
from flagstream.state.definitions import Kind

from .branches import Branch, Conditions, Split, Variant
from .items import Item, check
from .jsonlogic import JsonLogic, operation, variant_name
from .keyed import Keyed
from .outcome import SKIP, Imported, Refusals, Row, Source, Target, Translated

_MEMBERS = ("state", "variants", "defaultVariant", "targeting", "metadata", "source", "selector")
_DESCRIPTION = "description"
_MAX_DEPTH = 50


def read_flagd(sources: Sequence[Source], target: Target) -> Imported:
    """Translate flagd's flags for a project; the targeting key is a person's or a group's."""
    keyed = Keyed.of(target)
    kept: list[Translated] = []
    items: list[Item] = []
    files: list[Refusals] = []
    for source in sources:
        document = object_of(source.document)
        files.append(Refusals("the file", source.name))
        if not isinstance(document.get("flags"), dict):
            why = "it holds no flags of flagd's"
            files[-1].add((), quote(source.document), why, 'expected {"flags": {…}}')
        for key, definition in object_of(document.get("flags")).items():
            items.append(Item(Kind.FLAG, source.name, ("flags", key), {"key": key}))
            body = _Flag(items[-1], key, definition, document, keyed).body()
            if not items[-1].refusals.found:
                kept.append(Translated(place=items[-1].refusals.place(), body=body))
    return keyed.imported(files, items, kept)


class _Flag:
    """One flag on its way."""

    def __init__(self, item: Item, key: str, definition: Any, document: Row, keyed: Keyed) -> None:
        self._item = item
        self._refusals = item.refusals
        self._key = key
        self._row = object_of(definition)
        self._document = document
        self._keyed = keyed
        if not isinstance(definition, dict):
            item.refusals.add((), quote(definition), "it is no flag", SKIP)

    def body(self) -> dict[str, Any]:
        """Translate it; what cannot be is refused."""
        variants = object_of(self._row.get("variants"))
        self._check_members(variants)
        if self._refusals.found:
            return {}
        branches = self._chosen(variants)
        if any(isinstance(branch.outcome, Split) for branch in branches):
            self._item.note("shares are kept, who is in them is not: flagd's hash is another")
        conditions = Conditions(variants, self._keyed.of_property, self._refusals)
        body = {
            "key": self._key,
            **self._described(),
            "active": self._row.get("state") == "ENABLED",
            "bucketing": "murmur3",
            "filters": {**conditions.filters(branches), **self._keyed.aggregation},
        }
        check(self._refusals, body, parse_flag, f"change it in flagd, or {SKIP}")
        return body

    def _check_members(self, variants: Mapping[str, Any]) -> None:
        refusals, row = self._refusals, self._row
        for name in row.keys() - _MEMBERS:
            refusals.add((name,), quote(row[name]), "flagd has no such member", SKIP)
        if row.get("state") not in ("ENABLED", "DISABLED"):
            refusals.add(("state",), quote(row.get("state")), "it is no state", SKIP)
        if not variants:
            refusals.add(("variants",), quote(row.get("variants")), "there are no variants", SKIP)
        if not isinstance(row.get("targeting") or {}, dict):
            refusals.add(("targeting",), quote(row["targeting"]), "it is no rule", SKIP)
        for name, value in variants.items():
            if value is None:
                refusals.add(("variants", name), "null", "a variant must have a value", SKIP)

    def _chosen(self, variants: Mapping[str, Any]) -> Sequence[Branch]:
        named = self._row.get("defaultVariant")
        default = None if named in (None, "") else variant_name(named)
        logic = JsonLogic(
            self._refusals,
            flag_key=self._key,
            key_property=self._keyed.key_property,
            default=default,
        )
        path: Path = ("targeting",)
        targeting = self._resolved(self._row.get("targeting") or None, path)
        branches = () if self._refusals.found else logic.branches(targeting, path)
        if self._refusals.found:
            return ()
        for branch in branches:
            for name in _names(branch):
                if name not in variants:
                    instead = "add it, or choose one of the variants"
                    self._refusals.add(branch.path, name, "the flag has no such variant", instead)
        return () if self._refusals.found else branches

    def _resolved(self, node: Any, path: Path, depth: int = 0) -> Any:
        """Put the evaluators that are named in their places."""
        if depth > _MAX_DEPTH:
            self._refusals.add(path, "this rule", "it is nested without end", SKIP)
            return None
        operator, arguments = operation(node)
        if operator == "$ref":
            evaluators = object_of(self._document.get("$evaluators"))
            name = arguments[0] if arguments else None
            if not isinstance(name, str) or name not in evaluators:
                why = "the file has no such evaluator"
                self._refusals.add((*path, "$ref"), quote(name), why, "add it to $evaluators")
                return None
            return self._resolved(deepcopy(evaluators[name]), path, depth + 1)
        if isinstance(node, dict):
            return {
                name: self._resolved(value, (*path, name), depth + 1)
                for name, value in node.items()
            }
        if isinstance(node, list):
            return [self._resolved(value, (*path, at), depth + 1) for at, value in enumerate(node)]
        return node

    def _described(self) -> dict[str, Any]:
        metadata = {
            **object_of(self._document.get("metadata")),
            **object_of(self._row.get("metadata")),
        }
        name = metadata.pop(_DESCRIPTION, None)
        tags = [f"{key}={variant_name(value)}" for key, value in metadata.items()]
        return {**({"name": str(name)} if name else {}), **({"tags": tags} if tags else {})}


def _names(branch: Branch) -> Sequence[str]:
    outcome = branch.outcome
    if isinstance(outcome, Variant):
        return [outcome.name]
    return [name for name, _ in outcome.shares]
