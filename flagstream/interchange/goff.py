"""
Definitions of GO Feature Flag.

Rules answer alike. Percentages keep their size, but not who is in them: the hashes differ.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flagstream.errors import quote
from flagstream.flags import parse_flag
from flagstream.flags.walk import Path, object_of
from flagstream.state.definitions import Kind

from .branches import Branch, Conditions, Outcome, Split, Variant, split
from .formulas import TRUE, Formula
from .goff_query import QueryError, read_query, texts_in_lists
from .items import Item, check
from .jsonlogic import JsonLogic
from .keyed import Keyed
from .outcome import SKIP, Imported, Refusals, Row, Source, Target, Translated

_FLAG = {
    *("variations", "targeting", "defaultRule", "bucketingKey", "scheduledRollout"),
    *("experimentation", "disable", "trackEvents", "version", "metadata"),
}
_RULE = {"name", "query", "variation", "percentage", "progressiveRollout", "disable"}
_ALL = 100
_ELSEWHERE = f"change it there, or {SKIP}"
_DESCRIPTION = "description"


def read_goff(sources: Sequence[Source], target: Target) -> Imported:
    """Translate GO Feature Flag's flags for a project, as they are now."""
    keyed = Keyed.of(target)
    items: list[Item] = []
    files: list[Refusals] = []
    kept: list[Translated] = []
    for source in sources:
        files.append(Refusals("the file", source.name))
        if not isinstance(source.document, dict):
            why = "it holds no flags"
            files[-1].add((), quote(source.document), why, "expected flags by name")
        for key, definition in object_of(source.document).items():
            items.append(Item(Kind.FLAG, source.name, (str(key),), {"key": key}))
            body = _Flag(items[-1], str(key), definition, keyed, target.now).body()
            if not items[-1].refusals.found:
                kept.append(Translated(place=items[-1].refusals.place(), body=body))
    return keyed.imported(files, items, kept)


class _Flag:
    """One flag on its way."""

    def __init__(self, item: Item, key: str, definition: Any, keyed: Keyed, now: datetime) -> None:
        self._note = item.note
        self._refusals = item.refusals
        self._key = key
        self._row = object_of(definition)
        self._keyed = keyed
        self._now = now
        self._variations = object_of(self._row.get("variations"))
        if not isinstance(definition, dict):
            item.refusals.add((), quote(definition), "it is no flag", SKIP)

    def body(self) -> dict[str, Any]:
        """Translate it; what cannot be is refused."""
        self._check_members()
        is_over = self._is_over()
        branches = list(self._branches())
        if self._refusals.found:
            return {}
        if any(isinstance(branch.outcome, Split) for branch in branches):
            self._note("shares are kept, who is in them is not: GO Feature Flag's hash is another")
        conditions = Conditions(self._variations, self._keyed.of_property, self._refusals)
        body = {
            "key": self._key,
            **self._described(),
            "active": not (self._row.get("disable") or is_over),
            "bucketing": "murmur3",
            "filters": {**conditions.filters(branches), **self._keyed.aggregation},
        }
        check(self._refusals, body, parse_flag, _ELSEWHERE)
        return body

    def _check_members(self) -> None:
        row = self._row
        for name in sorted(row.keys() - _FLAG):
            self._refuse((name,), row[name], "there is no such member")
        if not self._variations:
            self._refuse(("variations",), row.get("variations"), "there are no variations")
        for name, value in self._variations.items():
            if value is None:
                self._refuse(("variations", name), value, "a variation must have a value")
        if row.get("bucketingKey"):
            why = "flags are bucketed by the targeting key"
            instead = f"make it a flag of a group type whose key this is, or {SKIP}"
            self._refuse(("bucketingKey",), row["bucketingKey"], why, instead)
        if row.get("scheduledRollout"):
            why = "steps of a flag are planned, not defined"
            instead = "apply the past ones there, plan the others here: flagstream schedule add"
            self._refuse(("scheduledRollout",), row["scheduledRollout"], why, instead)

    def _is_over(self) -> bool:
        """Tell whether an experiment has ended, after which callers get their own values."""
        experiment = object_of(self._row.get("experimentation"))
        start, end = (
            self._time(("experimentation", name), experiment) for name in ("start", "end")
        )
        if end is not None and end < self._now:
            return True
        for name, time, change in (("start", start, "true"), ("end", end, "false")):
            if time is not None and time > self._now:
                why = "it is still to come"
                plan = f"""flagstream schedule add {self._key} --at {time.isoformat()}"""
                instead = f"""take it out, and plan it: {plan} --change '{{"active": {change}}}'"""
                self._refuse(("experimentation", name), time.isoformat(), why, instead)
        return False

    def _time(self, path: Path, row: Row) -> datetime | None:
        value = row.get(str(path[-1]))
        if value is None:
            return None
        try:
            time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            self._refuse(path, value, "it is no time")
            return None
        return time if time.tzinfo else time.replace(tzinfo=UTC)

    def _branches(self) -> Iterator[Branch]:
        targeting = self._row.get("targeting") or []
        if not isinstance(targeting, list):
            self._refuse(("targeting",), targeting, "it is no list of rules")
            targeting = []
        for at, rule in enumerate(targeting):
            path: Path = ("targeting", at)
            if not isinstance(rule, dict):
                self._refuse(path, rule, "it is no rule")
            elif not rule.get("disable"):
                yield from self._branch(path, rule, self._guard(path, rule))
        default = self._row.get("defaultRule")
        if not isinstance(default, dict):
            self._refuse(("defaultRule",), default, "there is no rule for those who are left")
            return
        yield from self._branch(("defaultRule",), default, TRUE)

    def _branch(self, path: Path, rule: Row, guard: Formula | None) -> Iterator[Branch]:
        for name in sorted(rule.keys() - _RULE):
            self._refuse((*path, name), rule[name], "there is no such member")
        outcome = self._outcome(path, rule)
        if guard is not None and outcome is not None:
            yield Branch(path, guard, outcome)

    def _guard(self, path: Path, rule: Row) -> Formula | None:
        query, place = str(rule.get("query") or "").strip(), (*path, "query")
        if not query:
            return TRUE
        if query.startswith("{"):
            return self._json_logic(place, query)
        try:
            found = read_query(query, self._keyed.key_property)
        except QueryError as error:
            self._refusals.add(place, error.what, error.why, f"write another query, or {SKIP}")
            return None
        if texts_in_lists(query):
            self._note("`in` does not mind the case; in older versions of GO Feature Flag it did")
        return found

    def _json_logic(self, path: Path, query: str) -> Formula | None:
        try:
            rule = json.loads(query)
        except ValueError:
            self._refuse(path, query, "it is no JSON")
            return None
        keys = ("key", "targetingKey")
        logic = JsonLogic(self._refusals, key_property=self._keyed.key_property, keys=keys)
        return logic.formula(rule, path)

    def _outcome(self, path: Path, rule: Row) -> Outcome | None:
        """Read what a rule chooses: a ramp goes before shares, these before a variation."""
        ramp, shares = rule.get("progressiveRollout"), rule.get("percentage")
        if ramp:
            return self._ramp((*path, "progressiveRollout"), object_of(ramp))
        if shares:
            return self._shares((*path, "percentage"), object_of(shares))
        return self._variant((*path, "variation"), rule.get("variation"))

    def _variant(self, path: Path, name: Any) -> Variant | None:
        if isinstance(name, str) and name in self._variations:
            return Variant(name)
        self._refuse(path, name, "the flag has no such variation")
        return None

    def _shares(self, path: Path, shares: Mapping[str, Any]) -> Outcome | None:
        for name, share in shares.items():
            is_share = type(share) in (int, float) and share >= 0
            if name not in self._variations or not is_share:
                self._refuse((*path, name), share, "it is no variation with a percentage")
                return None
        if not sum(shares.values()):
            self._refuse(path, shares, "there are no percentages")
            return None
        return split(list(shares.items()))

    def _ramp(self, path: Path, ramp: Mapping[str, Any]) -> Outcome | None:
        """Read a ramp that is at its end; one that goes on is to be planned here."""
        first, last = object_of(ramp.get("initial")), object_of(ramp.get("end"))
        before = self._variant((*path, "initial", "variation"), first.get("variation"))
        after = self._variant((*path, "end", "variation"), last.get("variation"))
        start = self._time((*path, "initial", "date"), first)
        end = self._time((*path, "end", "date"), last)
        if before is None or after is None:
            return None
        if start is None or end is None or end <= start:
            self._refuse(path, ramp, "it has no two dates")
            return None
        share = float(last.get("percentage") or _ALL)
        if end <= self._now:
            share = min(share, _ALL)
            return split([(after.name, share), (before.name, _ALL - share)])
        low = float(first.get("percentage") or 0)
        begin = max(start, self._now)
        today = low + (share - low) * ((begin - start) / (end - start))
        when = f"--at {start.isoformat()} " if start > self._now else ""
        plan = (
            f"flagstream schedule add {self._key} --from {today:.3g} --to {share:g} --steps 10 "
            f"{when}--over {round((end - begin).total_seconds())}s"
        )
        what = f"{low:g} to {share:g} % until {end.isoformat()}"
        why = "steps of a flag are planned, not defined"
        instead = f"write {today:.3g} % of {after.name} here, and plan the rest: {plan}"
        self._refusals.add(path, what, why, instead)
        return None

    def _described(self) -> dict[str, Any]:
        metadata = dict(object_of(self._row.get("metadata")))
        name = metadata.pop(_DESCRIPTION, None)
        if self._row.get("version") is not None:
            metadata["version"] = self._row["version"]
        tags = [f"{key}={_text(value)}" for key, value in metadata.items()]
        return {**({"name": str(name)} if name else {}), **({"tags": tags} if tags else {})}

    def _refuse(self, path: Path, what: Any, why: str, instead: str = _ELSEWHERE) -> None:
        self._refusals.add(path, what if isinstance(what, str) else quote(what), why, instead)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
