"""Rules of elsewhere that choose a variant, written as the conditions of a flag."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any, TypeAlias

from flagstream.flags.walk import Path

from .formulas import MAX_CONDITIONS, Formula, TooManyError, alternatives
from .outcome import Refusals

_ALL = 100
_WHOLE = 100_000  # thousandths of a percent


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant, by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Split:
    """Variants with their shares in percent, which are a whole."""

    shares: tuple[tuple[str, float], ...]


Outcome: TypeAlias = Variant | Split


@dataclass(frozen=True, slots=True)
class Branch:
    """
    What a rule chooses, where nothing before it did.

    Attributes:
        path: Where it stands.
    """

    path: Path
    guard: Formula
    outcome: Outcome


def split(weights: Sequence[tuple[str, float]]) -> Split:
    """Write weights as shares in thousandths of a percent, which add up to a hundred."""
    joined: dict[str, float] = {}
    for name, weight in weights:
        joined[name] = joined.get(name, 0) + weight
    total = sum(joined.values())
    exact = {name: weight * _WHOLE / total for name, weight in joined.items()}
    shares = {name: int(share) for name, share in exact.items()}
    # What rounding has left over goes to those that it took most from.
    for name in sorted(exact, key=lambda name: shares[name] - exact[name])[
        : _WHOLE - sum(shares.values())
    ]:
        shares[name] += 1
    return Split(tuple((name, share / 1_000) for name, share in shares.items()))


class Conditions:
    """
    Writes branches as the rules of a flag.

    Args:
        variants: Values by name.
        of: Whose the properties are.
    """

    def __init__(
        self, variants: Mapping[str, Any], of: Mapping[str, Any], refusals: Refusals
    ) -> None:
        self._variants = variants
        self._of = of
        self._refusals = refusals

    def filters(self, branches: Sequence[Branch]) -> dict[str, Any]:
        """Write the rules; what they cannot say is refused."""
        if all(isinstance(value, bool) for value in self._variants.values()):
            return self._of_boolean(branches)
        return self._of_variants(branches)

    def _of_boolean(self, branches: Sequence[Branch]) -> dict[str, Any]:
        conditions = [
            {"properties": tests, "rollout_percentage": self._share(branch.outcome)}
            for branch in branches
            for tests in self._tests(branch)
        ]
        while conditions and not conditions[-1]["rollout_percentage"]:
            conditions.pop()
        # Who is left out where one applies must not come in by one that follows.
        is_final = any(each["rollout_percentage"] != _ALL for each in conditions[:-1])
        return {"groups": conditions, **({"early_exit": True} if is_final else {})}

    def _share(self, outcome: Outcome) -> float:
        if isinstance(outcome, Variant):
            return _ALL if self._variants[outcome.name] else 0
        share = sum(share for name, share in outcome.shares if self._variants[name])
        return round(share, 3)

    def _of_variants(self, branches: Sequence[Branch]) -> dict[str, Any]:
        shares = self._shares(branches)
        conditions = [
            {"properties": tests, "rollout_percentage": _ALL, **self._override(branch.outcome)}
            for branch in branches
            for tests in self._tests(branch)
        ]
        payloads = {name: value for name, value in self._variants.items() if value != name}
        return {
            "groups": conditions,
            "multivariate": {
                "variants": [
                    {"key": name, "rollout_percentage": shares.get(name, 0)}
                    for name in self._variants
                ]
            },
            **({"payloads": payloads} if payloads else {}),
        }

    def _shares(self, branches: Sequence[Branch]) -> Mapping[str, float]:
        """Find the one split that a flag has; without any, all get the last one's variant."""
        splits = [branch for branch in branches if isinstance(branch.outcome, Split)]
        for other in splits[1:]:
            if not _are_equal(other.outcome, splits[0].outcome):
                self._refusals.add(
                    other.path,
                    "a second split",
                    "all conditions of a flag share one split into variants",
                    "give all the same shares, or make two flags of it",
                )
        if splits and isinstance(splits[0].outcome, Split):
            return dict(splits[0].outcome.shares)
        last = branches[-1].outcome if branches else None
        return {last.name: 100} if isinstance(last, Variant) else {}

    def _override(self, outcome: Outcome) -> dict[str, str]:
        return {"variant": outcome.name} if isinstance(outcome, Variant) else {}

    def _tests(self, branch: Branch) -> list[list[dict[str, Any]]]:
        try:
            found = alternatives(branch.guard)
        except TooManyError:
            self._refusals.add(
                branch.path,
                "this rule",
                f"it has more than {MAX_CONDITIONS} alternatives, each a condition of its own",
                "make it a cohort, or several flags",
            )
            return []
        return [[test.about(self._of) for test in tests] for tests in found]


def _are_equal(one: Outcome, other: Outcome) -> bool:
    if not isinstance(one, Split) or not isinstance(other, Split):
        return False
    ours, theirs = dict(one.shares), dict(other.shares)
    return ours.keys() == theirs.keys() and all(
        isclose(ours[name], theirs[name], abs_tol=0.001) for name in ours
    )
