"""Definitions written as flagd's, as far as its rules go."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flagstream.errors import quote
from flagstream.flags.walk import Path, object_of
from flagstream.state.definitions import Kind

from .formulas import AllOf, Filter, alternatives
from .items import Item
from .jsonlogic_export import logic_of
from .keyed import Keyed
from .outcome import SKIP, Exported, Refusals, Row, Target

_PROJECT = "the project"
_ALL, _THOUSANDTHS = 100, 1_000
_ON, _OFF = "on", "off"
# Members that change answers and that flagd has nothing like, with what says that they do not.
_NOTHING_LIKE: Mapping[str, Sequence[Any]] = {
    "ensure_experience_continuity": (None, False),
    "bucketing_identifier": (None, "distinct_id"),
    "evaluation_runtime": (None, "all"),
    "evaluation_contexts": (None, []),
    "is_remote_configuration": (None, False),
}
_RULES_NOTHING_LIKE = ("feature_enrollment", "holdout")
_CONDITION = "aggregation_group_type_index"
_BARE = ("is_set", "is_not_set")
_ELSEWHERE = f"change it here, or {SKIP}"


def write_flagd(document: Row, target: Target) -> Exported:
    """
    Write flags so that flagd decides alike on the same attributes.

    Args:
        document: What an export of flagstream's own is.
        target: The project that it is of, with the group type whose keys are the targeting keys.
    """
    keyed = Keyed.of(target)
    written: dict[str, Any] = {}
    items: list[Item] = []
    for at, row in enumerate(document["flags"]):
        item = Item(Kind.FLAG, _PROJECT, ("flags", at), row)
        items.append(item)
        definition = _Flag(item.refusals, row, keyed).definition()
        if not item.refusals.found:
            written[row["key"]] = definition
            if "fractional" in json.dumps(definition):
                item.note("shares are kept, who is in them is not: flagd's hash is another")
    refused = [each for item in items for each in item.refusals.found]
    return Exported(
        document={"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": written},
        refused=[*keyed.refusals.found, *refused],
        notes=[note for item in items for note in item.notes],
    )


class _Flag:
    """One flag on its way."""

    def __init__(self, refusals: Refusals, row: Row, keyed: Keyed) -> None:
        self._refusals = refusals
        self._row = row
        self._keyed = keyed
        self._filters: Row = row["filters"]
        self._conditions: Sequence[Row] = self._filters.get("groups") or ()

    def definition(self) -> dict[str, Any]:
        """Write it; what cannot be is refused."""
        self._check_members()
        variants = object_of(self._filters.get("multivariate")).get("variants")
        parts = self._of_variants(variants) if variants else self._of_boolean()
        metadata = dict(_metadata(self._row))
        return {
            "state": "ENABLED" if self._row.get("active", True) else "DISABLED",
            **parts,
            **({"metadata": metadata} if metadata else {}),
        }

    def _check_members(self) -> None:
        for name, usual in _NOTHING_LIKE.items():
            if self._row.get(name) not in usual:
                self._refuse((name,), quote(self._row[name]), "flagd has nothing like it")
        for name in _RULES_NOTHING_LIKE:
            if self._filters.get(name):
                path = ("filters", name)
                self._refuse(path, quote(self._filters[name]), "flagd has nothing like it")
        wanted = self._keyed.aggregation.get(_CONDITION)
        if self._filters.get(_CONDITION) != wanted:
            path = ("filters", _CONDITION)
            why = "the file has one targeting key, of another kind"
            instead = f"name the group type with --group-type, or {SKIP}"
            self._refuse(path, quote(self._filters.get(_CONDITION)), why, instead)

    def _of_boolean(self) -> dict[str, Any]:
        if self._filters.get("payloads"):
            path = ("filters", "payloads")
            self._refuse(path, quote(self._filters["payloads"]), "a boolean has no payload")
        choices: list[Any] = []
        rest: Any = _OFF
        for at, condition in enumerate(self._conditions):
            share = _share(condition)
            self._check_exit(at, share)
            outcome = _fraction(share)
            rule = self._rule(at, condition)
            if rule is None:
                rest = outcome
                break
            choices += [rule, outcome] if rule else []
        return {
            "variants": {_ON: True, _OFF: False},
            "defaultVariant": _OFF,
            **_targeting(choices, rest, default=_OFF),
        }

    def _check_exit(self, at: int, share: float) -> None:
        """Who is left out by a share goes on to the next condition here, and not in flagd."""
        if share < _ALL and at < len(self._conditions) - 1 and not self._filters.get("early_exit"):
            path: Path = ("filters", "groups", at, "rollout_percentage")
            why = "in flagd, whom a share leaves out is not asked for the rules behind it"
            self._refuse(path, f"{share:g}", why, f"make it the last, set early_exit, or {SKIP}")

    def _of_variants(self, variants: Sequence[Row]) -> dict[str, Any]:
        values = self._values(variants)
        shares = {each["key"]: float(each["rollout_percentage"]) for each in variants}
        split = _split(shares)
        if round(sum(shares.values()), 3) != _ALL:
            path: Path = ("filters", "multivariate")
            self._refuse(path, quote(shares), "the shares are no whole, and flagd knows no rest")
        choices: list[Any] = []
        rest: Any = None
        for at, condition in enumerate(self._conditions):
            if _share(condition) != _ALL:
                path = ("filters", "groups", at, "rollout_percentage")
                why = "whom it leaves out has no variant, for which flagd has nothing"
                self._refuse(path, f"{_share(condition):g}", why)
            variant = condition.get("variant")
            outcome = variant if variant in values else split
            rule = self._rule(at, condition)
            if rule is None:
                rest = outcome
                break
            choices += [rule, outcome] if rule else []
        if rest is None:
            why = "who matches no condition has no variant, for which flagd has nothing"
            self._refuse(("filters", "groups"), "these conditions", why, "add one for all")
        default = rest if isinstance(rest, str) else next(iter(values))
        return {
            "variants": values,
            "defaultVariant": default,
            **_targeting(choices, rest, default=default),
        }

    def _values(self, variants: Sequence[Row]) -> dict[str, Any]:
        payloads = object_of(self._filters.get("payloads"))
        values = {
            each["key"]: json.loads(payloads[each["key"]])
            if each["key"] in payloads
            else each["key"]
            for each in variants
        }
        if len({_kind(value) for value in values.values()}) > 1:
            path = ("filters", "payloads")
            self._refuse(path, quote(values), "in flagd all variants are of one type")
        return values

    def _rule(self, at: int, condition: Row) -> Any:
        """Write when a condition matches; None for always, False for never."""
        path = ("filters", "groups", at)
        about = self._filters.get(_CONDITION)
        if condition.get(_CONDITION, about) != about:
            what = quote(condition[_CONDITION])
            self._refuse((*path, _CONDITION), what, "the file has one targeting key")
        tests: list[Filter] = []
        for number, test in enumerate(condition.get("properties") or ()):
            place = (*path, "properties", number)
            if not self._is_own(test):
                what = f"{test.get('type')} {quote(test.get('key'))}"
                self._refuse(place, what, "it is no attribute of whom the flag is about")
                continue
            value, operator = test.get("value"), test.get("operator", "exact")
            written = tuple(value) if isinstance(value, list) else value
            tests.append(Filter(test["key"], operator, None if operator in _BARE else written))
            if logic_of(tests[-1], self._keyed.key_property) is None:
                what = f"{tests[-1].operator} {quote(value)}"
                why, instead = "flagd has nothing that holds for the same values", _ELSEWHERE
                if tests[-1].operator in ("exact", "is_not", "starts_with", "ends_with"):
                    instead = f"compare with case, by regex ^…$, or {SKIP}"
                self._refuse(place, what, why, instead)
        found = alternatives(AllOf(tuple(tests)))
        if not found:
            return False
        written = [logic_of(test, self._keyed.key_property) for each in found for test in each]
        # In an order that does not depend on how values are written here.
        rules = [json.loads(rule) for rule in sorted({json.dumps(rule) for rule in written})]
        if len(rules) > 1:
            return {"and": rules}
        return rules[0] if rules else None

    def _is_own(self, test: Row) -> bool:
        about = self._filters.get(_CONDITION)
        if about is None:
            return test.get("type") == "person"
        return test.get("type") == "group" and test.get("group_type_index", about) == about

    def _refuse(self, path: Path, what: str, why: str, instead: str = _ELSEWHERE) -> None:
        self._refusals.add(path, what, why, instead)


def _share(condition: Row) -> float:
    share = condition.get("rollout_percentage")
    return _ALL if share is None else float(share)


def _fraction(share: float) -> Any:
    if share in (0, _ALL):
        return _ON if share else _OFF
    weight = round(share * _THOUSANDTHS)
    return {"fractional": [[_ON, weight], [_OFF, _ALL * _THOUSANDTHS - weight]]}


def _split(shares: Mapping[str, float]) -> Any:
    """Write a split; one that is all for one variant as that."""
    for name, share in shares.items():
        if share == _ALL:
            return name
    return {"fractional": [[name, round(share * _THOUSANDTHS)] for name, share in shares.items()]}


def _targeting(choices: Sequence[Any], rest: Any, *, default: str) -> dict[str, Any]:
    """Write the rule; nothing of it where all get the default variant."""
    if choices:
        otherwise = [] if rest == default else [rest]
        return {"targeting": {"if": [*choices, *otherwise]}}
    if rest == default:
        return {}
    return {"targeting": {"if": [True, rest]} if isinstance(rest, str) else rest}


def _kind(value: Any) -> type:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float if is_number else type(value)


def _metadata(row: Row) -> Iterator[tuple[str, Any]]:
    if row.get("name"):
        yield "description", row["name"]
    for tag in row.get("tags") or ():
        name, _, value = tag.partition("=")
        yield name, _scalar(value) if value else True


def _scalar(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text
